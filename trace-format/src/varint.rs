//! Unsigned LEB128, the integer of this format, and the zigzag map for signed ones.
//!
//! The recorder has its own unrolled writer on raw memory; its tests compare it with this one.

/// The longest encoding of a `u64`.
pub const VARINT_BYTES_MAX: usize = 10;

/// Appends `value` to `out` as an unsigned varint, 1 to [`VARINT_BYTES_MAX`] bytes.
///
/// # Source
/// Unsigned LEB128 (DWARF 5, section 7.6), always in its shortest form.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes an unsigned varint off the front of `bytes`.
///
/// `None` if `bytes` ends inside it, or if it does not fit 64 bits. Longer forms than the shortest
/// are accepted: they are wasteful, not wrong.
#[inline(always)]
pub fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    // Nearly all have one or two bytes: deltas below 5 us and small ids.
    match **bytes {
        [first, ref rest @ ..] if first < 0x80 => {
            *bytes = rest;
            Some(u64::from(first))
        }
        [first, second, ref rest @ ..] if second < 0x80 => {
            *bytes = rest;
            Some(u64::from(first & 0x7f) | u64::from(second) << 7)
        }
        _ => {
            let (value, count) = take_long(bytes)?;
            *bytes = &bytes[count..];
            Some(value)
        }
    }
}

/// Any length. The bytes come by value, so that the caller's slice can stay in registers.
#[inline(never)]
fn take_long(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (at, &byte) in bytes.iter().enumerate().take(VARINT_BYTES_MAX) {
        let bits = u64::from(byte & 0x7f);
        if at == VARINT_BYTES_MAX - 1 && bits > 1 {
            return None;
        }
        value |= bits << (7 * at);
        if byte < 0x80 {
            return Some((value, at + 1));
        }
    }
    None
}

/// Maps small negative and positive numbers to small unsigned ones: 0, -1, 1, -2, ...
#[must_use]
pub const fn zigzag(value: i64) -> u64 {
    (value as u64) << 1 ^ (value >> 63) as u64
}

/// The inverse of [`zigzag`].
#[must_use]
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_back() {
        for shift in 0..64 {
            for value in [1_u64 << shift, (1_u64 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                let mut rest = out.as_slice();
                assert_eq!(take_varint(&mut rest), Some(value));
                assert!(rest.is_empty());
                let cut = &out[..out.len() - 1];
                assert_eq!(take_varint(&mut &*cut), None, "a cut varint is no varint");
            }
        }
    }

    #[test]
    fn more_than_64_bits_is_refused() {
        let mut bytes = [0xff; 10];
        assert_eq!(take_varint(&mut bytes.as_slice()), None);
        bytes[9] = 1;
        assert_eq!(take_varint(&mut bytes.as_slice()), Some(u64::MAX));
        bytes[9] = 2;
        assert_eq!(take_varint(&mut bytes.as_slice()), None);
    }

    #[test]
    fn zigzag_is_its_own_inverse() {
        for value in [0, -1, 1, i64::MIN, i64::MAX, -12345] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }
}
