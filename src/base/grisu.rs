//! The decimal digits of a double, few and right but not always the fewest:
//! Grisu2, as Valkey's replies have them. In some 0.1% of cases a shorter text
//! would mean the same number; clients compare texts, so those come out alike.
//!
//! The double and the two borders to its neighbours are multiplied by a power of
//! ten that brings them to a binary exponent in [`EXPONENTS`]; then digits are
//! taken off the upper border until what is left lies within the borders.
//!
//! Source: Florian Loitsch, "Printing Floating-Point Numbers Quickly and
//! Accurately with Integers", 2010.

use std::ops::RangeInclusive;

/// Digits, and the power of ten that the last one counts.
pub struct Digits {
    digits: [u8; Self::MAX],
    len: usize,
    /// See above.
    pub power: i32,
}

impl Digits {
    const MAX: usize = 20;

    /// The digits as text; the first is not 0.
    pub fn as_bytes(&self) -> &[u8] {
        &self.digits[..self.len]
    }

    fn push(&mut self, digit: u64) {
        if digit != 0 || self.len > 0 {
            self.digits[self.len] = b'0' + digit as u8;
            self.len += 1;
        }
    }

    /// Lowers the last digit while that comes closer to the number: `rest` is
    /// how far what was taken lies below the upper border, `unit` what the last
    /// digit counts, `distance` how far the number lies below that border, and
    /// `span` the lower one.
    fn round(&mut self, span: u64, mut rest: u64, unit: u64, distance: u64) {
        while rest < distance && span - rest >= unit {
            let lowered = rest.wrapping_add(unit);
            if lowered >= distance && distance - rest <= lowered - distance {
                break;
            }
            self.digits[self.len - 1] -= 1;
            rest = lowered;
        }
    }
}

const FRACTION_BITS: u32 = 52;
const EXPONENTS: RangeInclusive<i32> = -60..=-32;

/// The digits of a finite number above 0.
pub fn digits(n: f64) -> Digits {
    let bits = n.to_bits();
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    let (fraction, exponent) = match (bits >> FRACTION_BITS) as i32 {
        0 => (fraction, -1074),
        biased => (fraction | 1 << FRACTION_BITS, biased - 1075),
    };
    // All three under one exponent, the number with its highest bit set.
    let shift = fraction.leading_zeros();
    let exponent = exponent - shift as i32;
    let upper = (2 * fraction + 1) << (shift - 1);
    let lower = match fraction == 1 << FRACTION_BITS {
        true => (4 * fraction - 1) << (shift - 2),
        false => (2 * fraction - 1) << (shift - 1),
    };
    let (scale, scale_exponent, power) = power_for(exponent);
    let exponent = exponent + scale_exponent + 64;
    let number = multiply(fraction << shift, scale);
    // Both borders are off by less than one, and drawn in by as much.
    let upper = multiply(upper, scale) - 1;
    let lower = multiply(lower, scale) + 1;
    let digits = Digits {
        digits: [0; Digits::MAX],
        len: 0,
        power: -power,
    };
    generate(
        digits,
        upper,
        upper - number,
        upper - lower,
        -exponent as u32,
    )
}

/// Takes digits off `upper`, a fixed-point number with so many bits behind the
/// point.
fn generate(mut digits: Digits, upper: u64, distance: u64, span: u64, bits: u32) -> Digits {
    let one = 1 << bits;
    let (mut whole, mut part) = (upper >> bits, upper & (one - 1));
    for kappa in (0..10).rev() {
        let unit = 10u64.pow(kappa);
        digits.push(whole / unit);
        whole %= unit;
        let rest = (whole << bits) + part;
        if rest <= span {
            digits.power += kappa as i32;
            digits.round(span, rest, unit << bits, distance);
            return digits;
        }
    }
    let (mut span, mut distance) = (span, distance);
    loop {
        part *= 10;
        span = span.wrapping_mul(10);
        distance = distance.wrapping_mul(10);
        digits.power -= 1;
        digits.push(part >> bits);
        part &= one - 1;
        if part < span {
            digits.round(span, part, one, distance);
            return digits;
        }
    }
}

fn multiply(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b) + (1 << 63)) >> 64) as u64
}

/// A power of ten that brings `exponent` into range: its highest 64 bits, their
/// exponent, and the power.
fn power_for(exponent: i32) -> (u64, i32, i32) {
    // Of two that would do, the choice decides on digits: it is Valkey's.
    let near = (-f64::from(exponent + POWERS.len() as i32) * std::f64::consts::LOG10_2) as i32;
    let mut i = (near - POWER_MIN) / POWER_STEP;
    loop {
        let power = POWER_MIN + i * POWER_STEP;
        // The binary logarithm of ten, in 2^-19.
        let scale_exponent = ((power * 1_741_647) >> 19) - 63;
        let sum = exponent + scale_exponent + 64;
        if EXPONENTS.contains(&sum) {
            return (POWERS[i as usize], scale_exponent, power);
        }
        i += if sum < *EXPONENTS.start() { 1 } else { -1 };
    }
}

const POWER_MIN: i32 = -348;
const POWER_STEP: i32 = 8;

/// The highest 64 bits of every eighth power of ten, rounded.
static POWERS: [u64; 87] = [
    0xfa8f_d5a0_081c_0288,
    0xbaae_e17f_a23e_bf76,
    0x8b16_fb20_3055_ac76,
    0xcf42_894a_5dce_35ea,
    0x9a6b_b0aa_5565_3b2d,
    0xe61a_cf03_3d1a_45df,
    0xab70_fe17_c79a_c6ca,
    0xff77_b1fc_bebc_dc4f,
    0xbe56_91ef_416b_d60c,
    0x8dd0_1fad_907f_fc3c,
    0xd351_5c28_3155_9a83,
    0x9d71_ac8f_ada6_c9b5,
    0xea9c_2277_23ee_8bcb,
    0xaecc_4991_4078_536d,
    0x823c_1279_5db6_ce57,
    0xc210_9436_4dfb_5637,
    0x9096_ea6f_3848_984f,
    0xd774_85cb_2582_3ac7,
    0xa086_cfcd_97bf_97f4,
    0xef34_0a98_172a_ace5,
    0xb238_67fb_2a35_b28e,
    0x84c8_d4df_d2c6_3f3b,
    0xc5dd_4427_1ad3_cdba,
    0x936b_9fce_bb25_c996,
    0xdbac_6c24_7d62_a584,
    0xa3ab_6658_0d5f_daf6,
    0xf3e2_f893_dec3_f126,
    0xb5b5_ada8_aaff_80b8,
    0x8762_5f05_6c7c_4a8b,
    0xc9bc_ff60_34c1_3053,
    0x964e_858c_91ba_2655,
    0xdff9_7724_7029_7ebd,
    0xa6df_bd9f_b8e5_b88f,
    0xf8a9_5fcf_8874_7d94,
    0xb944_7093_8fa8_9bcf,
    0x8a08_f0f8_bf0f_156b,
    0xcdb0_2555_6531_31b6,
    0x993f_e2c6_d07b_7fac,
    0xe45c_10c4_2a2b_3b06,
    0xaa24_2499_6973_92d3,
    0xfd87_b5f2_8300_ca0e,
    0xbce5_0864_9211_1aeb,
    0x8cbc_cc09_6f50_88cc,
    0xd1b7_1758_e219_652c,
    0x9c40_0000_0000_0000,
    0xe8d4_a510_0000_0000,
    0xad78_ebc5_ac62_0000,
    0x813f_3978_f894_0984,
    0xc097_ce7b_c907_15b3,
    0x8f7e_32ce_7bea_5c70,
    0xd5d2_38a4_abe9_8068,
    0x9f4f_2726_179a_2245,
    0xed63_a231_d4c4_fb27,
    0xb0de_6538_8cc8_ada8,
    0x83c7_088e_1aab_65db,
    0xc45d_1df9_4271_1d9a,
    0x924d_692c_a61b_e758,
    0xda01_ee64_1a70_8dea,
    0xa26d_a399_9aef_774a,
    0xf209_787b_b47d_6b85,
    0xb454_e4a1_79dd_1877,
    0x865b_8692_5b9b_c5c2,
    0xc835_53c5_c896_5d3d,
    0x952a_b45c_fa97_a0b3,
    0xde46_9fbd_99a0_5fe3,
    0xa59b_c234_db39_8c25,
    0xf6c6_9a72_a398_9f5c,
    0xb7dc_bf53_54e9_bece,
    0x88fc_f317_f222_41e2,
    0xcc20_ce9b_d35c_78a5,
    0x9816_5af3_7b21_53df,
    0xe2a0_b5dc_971f_303a,
    0xa8d9_d153_5ce3_b396,
    0xfb9b_7cd9_a4a7_443c,
    0xbb76_4c4c_a7a4_4410,
    0x8bab_8eef_b640_9c1a,
    0xd01f_ef10_a657_842c,
    0x9b10_a4e5_e991_3129,
    0xe710_9bfb_a19c_0c9d,
    0xac28_20d9_623b_f429,
    0x8044_4b5e_7aa7_cf85,
    0xbf21_e440_03ac_dd2d,
    0x8e67_9c2f_5e44_ff8f,
    0xd433_179d_9c8c_b841,
    0x9e19_db92_b4e3_1ba9,
    0xeb96_bf6e_badf_77d9,
    0xaf87_023b_9bf0_ee6b,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(n: f64) -> String {
        let digits = digits(n);
        format!(
            "{}e{}",
            String::from_utf8_lossy(digits.as_bytes()),
            digits.power
        )
    }

    #[test]
    fn digits_are_valkeys_even_where_there_are_shorter_ones() {
        for (n, expected) in [
            (1.0, "1e0"),
            (0.1, "1e-1"),
            (123.456, "123456e-3"),
            (5e-324, "5e-324"),
            (f64::MAX, "17976931348623157e292"),
            (f64::MIN_POSITIVE, "22250738585072014e-324"),
            (1.35e22, "13500000000000001e6"),
        ] {
            assert_eq!(text(n), expected);
        }
    }

    proptest! {
        #[test]
        fn digits_mean_the_number(bits in 1u64..0x7ff0_0000_0000_0000) {
            let n = f64::from_bits(bits);
            let text = text(n);
            prop_assert_eq!(text.parse(), Ok(n));
            prop_assert!(text.find('e') <= Some(17), "{}", text);
        }
    }
}
