//! Exact sums of floats: the same bits in any order and any grouping.
//!
//! A sum is kept as one fixed-point integer that is wide enough for every finite double (U. Kulisch and W. L. Miranker,
//! "The arithmetic of the digital computer: a new approach", SIAM Review 28, 1986; R. M. Neal, "Fast exact summation
//! using small and large superaccumulators", arXiv:1505.05571). Adding integers is associative, so partial sums merge
//! exactly, and the only rounding is the last one. Ordinary magnitudes stay in a narrow window of that integer.

/// Limbs of 64 bits that hold every finite double and the carries of more than 2^63 of them. Bit 0 is 2^-1074.
const WIDE_LIMBS: usize = 34;
/// The window for ordinary magnitudes: limbs 14 to 19, bit 0 is 2^-178.
const NARROW_LIMBS: usize = 6;
/// Where the window begins, in limbs.
const NARROW_FROM: usize = 14;
/// The greatest position of a value's lowest bit in the window: 53 bits above it and 64 bits for carries still fit.
const NARROW_BIT_MAX: i32 = (NARROW_LIMBS as i32 * 64) - 64 - 53;

/// A not-a-number was added.
const NAN: u8 = 1;
/// Plus infinity was added.
const PLUS_INFINITY: u8 = 2;
/// Minus infinity was added.
const MINUS_INFINITY: u8 = 4;
/// In encoded form: the finite part is below zero.
const NEGATIVE: u8 = 8;

/// The exact sum of any number of doubles.
#[derive(Debug, Clone, Default)]
pub struct ExactSum {
    narrow: [u64; NARROW_LIMBS],
    wide: Option<Box<[u64; WIDE_LIMBS]>>,
    special: u8,
}

impl ExactSum {
    /// Adds one value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        let bits = value.to_bits();
        let exponent = ((bits >> 52) & 0x7ff) as i32;
        let fraction = bits & ((1 << 52) - 1);
        let negative = (bits >> 63) != 0;
        // The value is `mantissa * 2^(position - 1074)`.
        let (mantissa, position) = match exponent {
            0 => (fraction, 0),
            0x7ff => {
                self.special |= match (fraction, negative) {
                    (0, false) => PLUS_INFINITY,
                    (0, true) => MINUS_INFINITY,
                    _ => NAN,
                };
                return;
            }
            _ => (fraction | (1 << 52), exponent - 1),
        };
        let bit = position - (NARROW_FROM as i32) * 64;
        if (0..=NARROW_BIT_MAX).contains(&bit) {
            add_at(&mut self.narrow, bit as usize, mantissa, negative);
        } else if mantissa != 0 {
            add_at(self.wide_mut(), position as usize, mantissa, negative);
        }
    }

    /// Adds another sum, as [`Self::encode`] wrote it.
    pub fn add_encoded(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let Some((&flags, rest)) = bytes.split_first() else {
            return Err("an empty sum");
        };
        self.special |= flags & (NAN | PLUS_INFINITY | MINUS_INFINITY);
        if rest.is_empty() {
            return Ok(());
        }
        let (low, magnitude) = rest.split_at_checked(2).ok_or("a cut sum")?;
        let low = usize::from(u16::from_le_bytes([low[0], low[1]]));
        if low + magnitude.len() > WIDE_LIMBS * 8 {
            return Err("a sum out of range");
        }
        let negative = flags & NEGATIVE != 0;
        // 64 bits of the window stay free for the carries of later merges.
        let fits = low >= NARROW_FROM * 8 && low + magnitude.len() <= (NARROW_FROM + NARROW_LIMBS - 1) * 8;
        let (limbs, from): (&mut [u64], usize) =
            if fits { (&mut self.narrow, NARROW_FROM * 8) } else { (self.wide_mut(), 0) };
        for (index, &byte) in magnitude.iter().enumerate() {
            if byte != 0 {
                add_at(limbs, (low + index - from) * 8, u64::from(byte), negative);
            }
        }
        Ok(())
    }

    /// Appends the sum's one and only encoding: flags, then, unless it is zero, the position of the lowest byte that
    /// is not zero (from 2^-1074, little-endian) and the magnitude's bytes from there, without zeros at either end.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (negative, magnitude, from) = self.magnitude();
        let bytes = magnitude.iter().flat_map(|limb| limb.to_le_bytes());
        let first = bytes.clone().position(|byte| byte != 0);
        let last = bytes.clone().rposition_nonzero();
        out.push(self.special | if negative { NEGATIVE } else { 0 });
        if let (Some(first), Some(last)) = (first, last) {
            out.extend_from_slice(&((from * 8 + first) as u16).to_le_bytes());
            out.extend(bytes.skip(first).take(last + 1 - first));
        }
    }

    /// The double nearest to the sum, ties to even.
    pub fn value(&self) -> f64 {
        let infinities = self.special & (PLUS_INFINITY | MINUS_INFINITY);
        if self.special & NAN != 0 || infinities == PLUS_INFINITY | MINUS_INFINITY {
            return f64::NAN;
        }
        if infinities != 0 {
            return if infinities == PLUS_INFINITY { f64::INFINITY } else { f64::NEG_INFINITY };
        }
        let (negative, magnitude, from) = self.magnitude();
        let rounded = round(magnitude, from);
        if negative { -rounded } else { rounded }
    }

    /// Sign, absolute value of the finite part, and the limb at which it starts.
    fn magnitude(&self) -> (bool, Magnitude, usize) {
        match &self.wide {
            None => {
                let mut limbs = [0; WIDE_LIMBS];
                limbs[..NARROW_LIMBS].copy_from_slice(&self.narrow);
                let negative = make_absolute(&mut limbs[..NARROW_LIMBS]);
                (negative, Magnitude { limbs, len: NARROW_LIMBS }, NARROW_FROM)
            }
            Some(wide) => {
                let mut limbs = **wide;
                let mut narrow = self.narrow;
                let narrow_negative = make_absolute(&mut narrow);
                for (index, &limb) in narrow.iter().enumerate() {
                    if limb != 0 {
                        add_at(&mut limbs, (NARROW_FROM + index) * 64, limb, narrow_negative);
                    }
                }
                let negative = make_absolute(&mut limbs);
                (negative, Magnitude { limbs, len: WIDE_LIMBS }, 0)
            }
        }
    }

    fn wide_mut(&mut self) -> &mut [u64; WIDE_LIMBS] {
        self.wide.get_or_insert_with(|| Box::new([0; WIDE_LIMBS]))
    }
}

/// An absolute value, little end first.
struct Magnitude {
    limbs: [u64; WIDE_LIMBS],
    len: usize,
}

impl std::ops::Deref for Magnitude {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        &self.limbs[..self.len]
    }
}

/// The last position of a byte that is not zero.
trait LastNonzero {
    fn rposition_nonzero(self) -> Option<usize>;
}

impl<I: Iterator<Item = u8>> LastNonzero for I {
    fn rposition_nonzero(self) -> Option<usize> {
        self.enumerate().filter(|(_, byte)| *byte != 0).last().map(|(index, _)| index)
    }
}

/// Adds or subtracts `value * 2^bit`, in two's complement.
#[inline]
fn add_at(limbs: &mut [u64], bit: usize, value: u64, negative: bool) {
    let limb = bit / 64;
    let shifted = u128::from(value) << (bit % 64);
    let (low, high) = (shifted as u64, (shifted >> 64) as u64);
    let step = if negative { u64::overflowing_sub } else { u64::overflowing_add };
    let (sum, carry) = step(limbs[limb], low);
    limbs[limb] = sum;
    let mut carry = u64::from(carry);
    let mut operand = high;
    for next in limbs.iter_mut().skip(limb + 1) {
        if operand == 0 && carry == 0 {
            break;
        }
        let (sum, first) = step(*next, operand);
        let (sum, second) = step(sum, carry);
        *next = sum;
        carry = u64::from(first) + u64::from(second);
        operand = 0;
    }
}

/// Turns two's complement into an absolute value; says whether it was below zero.
fn make_absolute(limbs: &mut [u64]) -> bool {
    let negative = limbs.last().is_some_and(|top| top >> 63 != 0);
    if negative {
        let mut carry = true;
        for limb in limbs {
            let (sum, overflow) = (!*limb).overflowing_add(u64::from(carry));
            *limb = sum;
            carry = overflow;
        }
    }
    negative
}

/// Rounds to the nearest double, ties to even. Limb 0 of the slice is limb `from` of the wide integer.
fn round(magnitude: Magnitude, from: usize) -> f64 {
    let limbs = &*magnitude;
    let Some(top) = limbs.iter().rposition(|limb| *limb != 0) else {
        return 0.0;
    };
    // The position of the highest bit, in units of 2^-1074.
    let high = (from + top) * 64 + 63 - limbs[top].leading_zeros() as usize;
    let bit =
        |position: usize| -> bool { position >= from * 64 && limbs[position / 64 - from] >> (position % 64) & 1 != 0 };
    if high < 53 {
        // Subnormal, or of the first normal binade: the integer is the double's bits.
        return f64::from_bits(if from == 0 { limbs[0] } else { 0 });
    }
    let low = high - 52;
    let mantissa = (low..=high).fold(0u64, |bits, position| bits | u64::from(bit(position)) << (position - low));
    let half = low - 1;
    let below = half.max(from * 64);
    let sticky = limbs[..below / 64 - from].iter().any(|limb| *limb != 0)
        || limbs[below / 64 - from] & ((1u64 << (below % 64)) - 1) != 0;
    let up = bit(half) && (sticky || mantissa & 1 == 1);
    // The carry of a mantissa that rounds up to 2^53 moves into the exponent, as it should.
    let bits = (((low as u64) << 52) + mantissa) + u64::from(up);
    if bits >= f64::INFINITY.to_bits() { f64::INFINITY } else { f64::from_bits(bits) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(values: &[f64]) -> ExactSum {
        let mut sum = ExactSum::default();
        values.iter().for_each(|value| sum.add(*value));
        sum
    }

    fn encoded(sum: &ExactSum) -> Vec<u8> {
        let mut bytes = Vec::new();
        sum.encode(&mut bytes);
        bytes
    }

    #[test]
    fn cancels_without_loss() {
        assert_eq!(sum(&[1e308, 1e308, -1e308, 1.0, -1e308]).value(), 1.0);
        assert_eq!(sum(&[1e16, 1.0, -1e16]).value(), 1.0);
        assert_eq!(sum(&[0.1; 10]).value(), 1.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX]).value(), f64::INFINITY);
        assert_eq!(sum(&[5e-324, 5e-324]).value(), 1e-323);
        assert_eq!(sum(&[-0.0]).value().to_bits(), 0);
        assert_eq!(sum(&[-2.5, 1.0]).value(), -1.5);
    }

    #[test]
    fn rounds_ties_to_even() {
        let ulp = f64::EPSILON;
        assert_eq!(sum(&[1.0, ulp / 2.0]).value(), 1.0);
        assert_eq!(sum(&[1.0 + ulp, ulp / 2.0]).value(), 1.0 + 2.0 * ulp);
        assert_eq!(sum(&[1.0, ulp / 2.0, 5e-324]).value(), 1.0 + ulp);
        assert_eq!(sum(&[f64::from_bits(0x000f_ffff_ffff_ffff), 5e-324]).value(), f64::MIN_POSITIVE);
    }

    #[test]
    fn infinities_and_nan() {
        assert!(sum(&[f64::NAN, 1.0]).value().is_nan());
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).value().is_nan());
        assert_eq!(sum(&[f64::NEG_INFINITY, 1e300]).value(), f64::NEG_INFINITY);
    }

    #[test]
    fn damaged_states_are_errors() {
        for bytes in [&[][..], &[0, 1][..], &[0, 255, 255, 1][..]] {
            assert!(ExactSum::default().add_encoded(bytes).is_err());
        }
    }

    fn any_double() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => -1e6..1e6f64,
            2 => any::<u64>().prop_map(f64::from_bits),
            1 => (0..60i32, any::<bool>()).prop_map(|(e, n)| 2f64.powi(e - 30) * if n { -1.0 } else { 1.0 }),
        ]
    }

    proptest! {
        #[test]
        fn one_value_comes_back(value in any_double()) {
            let back = sum(&[value]).value();
            prop_assert!(back == value || (back.is_nan() && value.is_nan()));
        }

        #[test]
        fn any_order_and_grouping_has_the_same_bits(
            values in prop::collection::vec(any_double(), 0..40),
            cuts in prop::collection::vec(0..40usize, 0..6),
            seed in any::<u64>(),
        ) {
            let whole = sum(&values);
            let mut shuffled = values.clone();
            let mut state = seed | 1;
            for index in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                shuffled.swap(index, (state >> 33) as usize % (index + 1));
            }
            let mut merged = ExactSum::default();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|c| *c <= shuffled.len()).collect();
            cuts.extend([0, shuffled.len()]);
            cuts.sort_unstable();
            for part in cuts.windows(2) {
                merged.add_encoded(&encoded(&sum(&shuffled[part[0]..part[1]]))).unwrap();
            }
            prop_assert_eq!(encoded(&whole), encoded(&merged));
            prop_assert_eq!(whole.value().to_bits(), merged.value().to_bits());
        }

        #[test]
        fn agrees_with_integers(values in prop::collection::vec(-(1i64 << 50)..(1i64 << 50), 0..50)) {
            let exact: i128 = values.iter().map(|v| i128::from(*v)).sum();
            let floats: Vec<f64> = values.iter().map(|v| *v as f64 / 1024.0).collect();
            prop_assert_eq!(sum(&floats).value(), exact as f64 / 1024.0);
        }
    }
}
