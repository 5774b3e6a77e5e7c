//! Masks (RFC 6455 §5.3): eight bytes at a time, which the compiler makes as wide as the processor can.

/// Replace what is in `bare` by a payload without its mask.
pub fn take_off(payload: &[u8], key: [u8; 4], bare: &mut Vec<u8>) {
    bare.clear();
    bare.extend_from_slice(payload);
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bare.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::take_off;

    #[test]
    fn every_length_is_unmasked_from_its_first_byte() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let mut bare = b"left over".to_vec();
        for size in 0..40_u8 {
            let plain: Vec<u8> = (0..size).collect();
            let masked: Vec<u8> =
                plain.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();

            take_off(&masked, key, &mut bare);

            assert_eq!(bare, plain);
        }
    }
}
