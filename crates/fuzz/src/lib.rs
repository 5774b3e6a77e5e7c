//! What holds for any bytes at all: checks that panic when it does not.
//!
//! The targets in `fuzz_targets` try them on bytes that a fuzzer makes up, the tests on the seeds in `corpus`,
//! where inputs that once failed stay.

pub mod chunked;
pub mod frames;
pub mod head;
mod input;
pub mod split;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// Every seed of a target, whole and with each of its last bytes gone.
    fn try_seeds(target: &str, check: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        let mut seeds = 0;
        for entry in fs::read_dir(folder).expect("the corpus is there") {
            let seed = fs::read(entry.expect("a file").path()).expect("readable");
            (0..=seed.len()).for_each(|end| check(&seed[..end]));
            seeds += 1;
        }
        assert!(seeds > 10, "{seeds} seeds of {target}");
    }

    #[test]
    fn seeds_of_head() {
        try_seeds("head", crate::head::check);
    }

    #[test]
    fn seeds_of_chunked() {
        try_seeds("chunked", crate::chunked::check);
    }

    #[test]
    fn seeds_of_frames() {
        try_seeds("frames", crate::frames::check);
    }

    #[test]
    fn seeds_of_split() {
        try_seeds("split", crate::split::check);
    }
}
