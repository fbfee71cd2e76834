//! Where in a Redis Cluster a hash tag lies.

/// Slots of a cluster.
const SLOTS: u16 = 16_384;

/// The slot of all keys with this tag, braces included: CRC16 (XMODEM) of what stands between them.
pub(super) fn of(tag: &str) -> u16 {
    let inside = tag.trim_start_matches('{').trim_end_matches('}');
    let crc = inside.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_servers() {
        // The first is the check value of this CRC, the others are what `CLUSTER KEYSLOT` answers.
        assert_eq!(of("{123456789}"), 0x31C3 % SLOTS);
        assert_eq!(of("{foo}"), 12_182);
        assert_eq!(of("{seedfleet:main}"), 2_933);
    }
}
