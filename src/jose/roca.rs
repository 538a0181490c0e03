//! RSA keys that a library of many smart cards and security chips made, and that can be factored (ROCA, CVE-2017-15361).
//!
//! The primes of such a key are `k·M + (65537^a mod M)`, where `M` is the product of the first primes, so that its modulus is
//! a power of 65537 modulo each of these (M. Nemec, M. Sys, P. Svenda, D. Klinec, V. Matyas: *The Return of Coppersmith's Attack:
//! Practical Factorization of Widely Used RSA Moduli*, ACM CCS 2017, §2). How many primes are in `M` depends on the key's size; those up
//! to 167 always are.
//!
//! The test is the discrete logarithm that the paper's authors use. For each prime it looks for an exponent; a sound
//! modulus has none for some prime, but in one case in 2^30. Then the exponents have to be those of one power: by the Chinese remainder
//! theorem they are if any two of them agree modulo what their orders have in common. That leaves one sound
//! modulus in 2^155.

/// The odd primes up to 167.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];
const GENERATOR: u32 = 65_537;

/// Whether a modulus, big-endian, is one of theirs.
pub(super) fn is_weak(modulus: &[u8]) -> bool {
    let Some(logarithms) = PRIMES.iter().map(|prime| Logarithm::of(modulus, *prime)).collect::<Option<Vec<_>>>() else {
        return false;
    };
    logarithms.iter().enumerate().all(|(index, one)| logarithms.iter().skip(index + 1).all(|other| one.agrees(other)))
}

/// `GENERATOR^exponent` is the modulus modulo a prime, and so is it for each multiple of `order` more.
struct Logarithm {
    exponent: u32,
    order: u32,
}

impl Logarithm {
    fn of(modulus: &[u8], prime: u32) -> Option<Self> {
        let rest = modulus.iter().fold(0, |rest, byte| (rest << 8 | u32::from(*byte)) % prime);
        let (mut power, mut order, mut exponent) = (1, 0, None);
        loop {
            if power == rest {
                exponent = Some(order);
            }
            power = power * (GENERATOR % prime) % prime;
            order += 1;
            if power == 1 {
                return exponent.map(|exponent| Self { exponent, order });
            }
        }
    }

    fn agrees(&self, other: &Self) -> bool {
        self.exponent.abs_diff(other.exponent).is_multiple_of(common_divisor(self.order, other.order))
    }
}

fn common_divisor(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { common_divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Of the authors' own tool, `crocs-muni/roca`: `mod01`, `mod02`, `mod08` and `mod03` of its tests, of 512 to 2048 bits.
    const WEAK: [&str; 4] = [
        "944e13208a280c37efc31c3114485e590192adbb8e11c87cad60cdef0037ce99278330d3f471a2538fa667802ed2a3c44a8b7dea826e888d0aa341fd664f7fa7",
        "a23475d6b86e7deb1e1483747c0e1aaa1390f24dcbc0d05399d025c985861601d91ba7a1ce5dd9d9721fac7b65cbf73f9fa39399f6cbf33edc6e094f9eda639f",
        "01db349e1f58f5d41f65aa5b0ffa6ae0cea80de6c170b2b4abf9c358d79494ca59cab008f5ee92759b91d497e2131701047f953935a163e91db5460c82566f4df0c05bca02a8576f7c4e916b274e2f307b56fc8a20ad452b1b54d3924726a3b2329da882c7b8e102379dfe7a8c6b01d62e7ff0fd58e1e9822f6e32b5b0486561fb",
        "9dcd7420e420c270a68060eb8b5aa7457a9f6648f86fafed2775cc1f79ae962f1e63f1b9e51c55f9ea6fdc7332e9b0058c9ff2eb1fc89855029cf6aafe21e689feb38ac9ffb12f1ce371bb5d0e9aae64161abce74b4244bf68f1edb4411f756a097c8929c14740245ea355f8332d1aa36bb50c7dcb4505da8de02e4e53d38f8df06097da7524df0df93db48eac8cc4af2d3a16257eb2b2adca6ba464e5974fa92550d31b1babf161e7692d00b86e3dd886ecab4abfbe1a8f8cc263ff4af55cdb45f4249a5193925f5e983d762f0b6800943eb0267b08f42ed311ce1f5c86eacbc8ce4d3cb7a2fee1ef5641423a1cf4114e5ecf50034a60a412523af9e6f4aa11",
    ];
    /// Moduli of the same tests (`test_fake_mods`) that have an exponent for each prime, but not one for all.
    const SOUND: [&str; 3] = [
        "671f033425b5ae00140c5b04dbcaeada430ae348cf3bf18d6ec4621ea824c52dd2b0ac85762b28a5d39ff23da73d4fcb241bf97b696e403eca234e05db9fe9ace2da265887c7b2ac7f9e7ed5bf6d919d43286776cf57c07d3411e15f729fa6e563858059334d072638d9dfbfc4f32474b6c6071092f5a961a7271f3209b37d9d",
        "c502de5c89ed9ee651a3c60e9519647031ed16d8597ae653bbc88706c3648edf38c2446205ea4cd33b10813bae1d7f5e86cbeedcdb9e14e616ee775040288731f24624f63aafcf788aa80b54edb41cf0dd38731297ef2bc61144c8410b625bfa36d9d4c6cfad7f647505dd7343f3209ed8a22209cc18bc2501d913b9f5b0753d",
        "569f3da75c97700daf4f498bfac14ae6d0a97e7a76000427b1cfcc6bb54b8124f8c6494848654af2a166db2e71d9aaee0c1b5ff3684affacd2da42b8b922be11bf0e3c5dec5f15fde9fc9aa3df3ed83a227c33539c3ade4568751259b60a433df425908325d237940ac449d8c575938962bed769e458c8f27554402ff50d0a0f",
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_published_moduli_are_told_apart() {
        assert!(WEAK.iter().all(|hex| is_weak(&bytes(hex))));
        for hex in SOUND {
            assert!(PRIMES.iter().all(|prime| Logarithm::of(&bytes(hex), *prime).is_some()), "{hex}");
            assert!(!is_weak(&bytes(hex)), "{hex}");
        }
    }

    proptest! {
        #[test]
        fn other_numbers_are_sound(modulus in proptest::collection::vec(any::<u8>(), 256)) {
            prop_assert!(!is_weak(&modulus));
        }

        #[test]
        fn every_power_is_weak(exponent: u16) {
            // A power of 65537, as a number of as many bytes as it takes.
            let mut power = vec![1u8];
            for _ in 0..exponent % 200 {
                let shifted: Vec<u8> = power.iter().copied().chain([0, 0]).collect();
                let mut carry = 0;
                let padded = [vec![0; 2], power].concat();
                let mut sum: Vec<u8> = shifted.iter().zip(&padded).rev().map(|(one, other)| {
                    let sum = u16::from(*one) + u16::from(*other) + carry;
                    carry = sum >> 8;
                    (sum & 255) as u8
                }).collect();
                sum.push(carry as u8);
                sum.reverse();
                power = sum;
            }
            prop_assert!(is_weak(&power));
        }
    }
}
