//! Handlers that come back into the server which has called them.

use std::cell::RefCell;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use rocket_core::driver::READ;

use crate::app::Lines;
use crate::rig::{Rig, get, open};
use rocket_core::server::Server;

/// Have the handler of `/errand` do something with its server.
fn send_on(rig: &Rig, errand: impl FnOnce(&Server<Lines>) + 'static) {
    let server = Rc::downgrade(&rig.server);
    let errand = move || errand(&server.upgrade().expect("it serves"));
    *rig.app().errand.borrow_mut() = Some(Box::new(errand));
}

pub fn a_handler_may_close_the_longest_idle_connection(mut rig: Rig) {
    let (_, mut first) = rig.open();
    let (_, mut second) = rig.open();
    rig.ask(&mut first, &get("/"), "\n");
    rig.pass(10);
    rig.ask(&mut second, &get("/"), "\n");
    // It is idle for longest itself, but not any more.
    send_on(&rig, |server| assert!(server.close_longest_idle() && !server.close_longest_idle()));
    assert_eq!("200 /errand\n", rig.ask(&mut first, &get("/errand"), "\n"));
    assert!(rig.is_left(&mut second));
    assert_eq!(vec!["closed 2"], rig.app().told());
}

pub fn a_handler_may_abort_all_and_is_cut_itself(mut rig: Rig) {
    let (_, mut own) = rig.open();
    let (_, mut other) = rig.open();
    send_on(&rig, Server::abort_all);
    own.write_all(&get("/errand")).unwrap();
    rig.until(|rig| rig.server.is_empty());
    assert!(rig.is_left(&mut own) && rig.is_left(&mut other));
    assert_eq!(vec!["closed 2", "closed 1"], rig.app().told());
}

pub fn a_handler_may_abort_all_twice_over(mut rig: Rig) {
    let (_, mut own) = rig.open();
    send_on(&rig, |server| {
        server.abort_all();
        server.abort_all();
    });
    own.write_all(&get("/errand")).unwrap();
    rig.until(|rig| rig.server.is_empty());
    assert_eq!(vec!["closed 1"], rig.app().told());
    // Whoever comes to the same place has nothing to do with it.
    let (_, mut next) = rig.open();
    assert_eq!("200 /\n", rig.ask(&mut next, &get("/"), "\n"));
}

pub fn a_handler_may_open_a_connection(mut rig: Rig) {
    let (_, mut client) = rig.open();
    let opened: Rc<RefCell<Option<UnixStream>>> = Rc::default();
    let place = Rc::clone(&opened);
    send_on(&rig, move |server| *place.borrow_mut() = Some(open(server, 7).1));
    assert_eq!("200 /errand\n", rig.ask(&mut client, &get("/errand"), "\n"));
    let mut other = opened.borrow_mut().take().expect("it was opened");
    assert_eq!("200 /\n", rig.ask(&mut other, &get("/"), "\n"));
    assert_eq!(2, rig.server.len());
}

pub fn a_handler_may_have_a_descriptor_watched(mut rig: Rig) {
    let (_, mut client) = rig.open();
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let (fd, driver) = (ours.as_raw_fd(), Rc::clone(&rig.driver));
    send_on(&rig, move |_| driver.borrow_mut().watch(fd, READ).unwrap());
    assert_eq!("200 /errand\n", rig.ask(&mut client, &get("/errand"), "\n"));
    rig.driver.borrow_mut().unwatch(fd).unwrap();
}

pub fn what_a_handler_was_called_with_stays_until_it_returns(mut rig: Rig) {
    let (_, mut client) = rig.open();
    let mut others: Vec<_> = (0..3).map(|_| rig.open().1).collect();
    for other in &mut others {
        rig.ask(other, &get("/"), "\n");
    }
    // Closing connections gives their buffers back; the one that is being read from is not among them.
    send_on(&rig, |server| while server.close_longest_idle() {});
    let session = [get("/errand"), get("/a"), get("/b")].concat();
    assert_eq!("200 /errand\n200 /a\n200 /b\n", rig.ask(&mut client, &session, "/b\n"));
    assert!(others.iter_mut().all(|other| rig.is_left(other)));
}
