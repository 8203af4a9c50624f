//! The bytes of one sled value: `format u8 | schema u16 | crc32c u32 | payload`, big-endian.
//!
//! The checksum covers the key too, so that a value under the wrong key is noticed.

pub(crate) const HEADER: usize = 7;

/// The payload is the value.
pub(crate) const INLINE: u8 = 1;
/// The payload says how the value is cut up: see `control`.
pub(crate) const CHUNKED: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) format: u8,
    pub(crate) schema: u16,
    pub(crate) crc: u32,
    pub(crate) payload: &'a [u8],
}

/// `payload` comes in parts, which are joined.
pub(crate) fn encode(key: &[u8], format: u8, schema: u16, payload: &[&[u8]]) -> Vec<u8> {
    let len: usize = payload.iter().map(|part| part.len()).sum();
    let mut bytes = Vec::with_capacity(HEADER + len);
    bytes.push(format);
    bytes.extend_from_slice(&schema.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    for part in payload {
        bytes.extend_from_slice(part);
    }
    let crc = checksum(key, &bytes);
    bytes[3..HEADER].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// Errors: what is wrong with the record, in words.
pub(crate) fn decode<'a>(key: &[u8], bytes: &'a [u8]) -> Result<Record<'a>, &'static str> {
    let (&[format, s0, s1, c0, c1, c2, c3], payload) =
        bytes.split_first_chunk::<HEADER>().ok_or("it is shorter than a header")?;
    let crc = u32::from_be_bytes([c0, c1, c2, c3]);
    if crc != checksum(key, bytes) {
        return Err("it fails its checksum");
    }
    Ok(Record { format, schema: u16::from_be_bytes([s0, s1]), crc, payload })
}

/// The stored checksum, unchecked; 0 for what is no record.
pub(crate) fn stored_crc(bytes: &[u8]) -> u32 {
    bytes.get(3..HEADER).and_then(|crc| crc.try_into().ok()).map_or(0, u32::from_be_bytes)
}

fn checksum(key: &[u8], bytes: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&(key.len() as u32).to_be_bytes());
    let crc = crc32c::crc32c_append(crc, key);
    let crc = crc32c::crc32c_append(crc, &bytes[..3]);
    crc32c::crc32c_append(crc, &bytes[HEADER..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_under_its_own_key_only() {
        let bytes = encode(b"key", INLINE, 3, &[b"pay", b"load"]);

        let record = decode(b"key", &bytes).unwrap();

        assert_eq!((record.format, record.schema, record.payload), (INLINE, 3, b"payload".as_slice()));
        assert!(decode(b"kez", &bytes).is_err());
        assert!(decode(b"key", &bytes[..6]).is_err());
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let bytes = encode(b"key", INLINE, 1, &[b"value"]);

        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(b"key", &bad).is_err(), "bit {bit}");
        }
    }
}
