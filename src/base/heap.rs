//! What an allocation really takes.

/// What an allocation of `size` bytes takes, by jemalloc's size classes:
/// 8, multiples of 16 up to 128, then four to each doubling.
#[inline]
pub const fn usable_bytes(size: usize) -> usize {
    if size <= 8 {
        return 8;
    }
    let doubling = usize::BITS - (size - 1).leading_zeros();
    let step = if doubling <= 7 {
        16
    } else {
        1 << (doubling - 3)
    };
    (size + step - 1) & !(step - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_are_those_of_jemalloc() {
        for (size, class) in [
            (1, 8),
            (9, 16),
            (17, 32),
            (128, 128),
            (129, 160),
            (160, 160),
            (161, 192),
            (257, 320),
            (4096, 4096),
            (4097, 5120),
            (17_593, 20_480),
        ] {
            assert_eq!(usable_bytes(size), class, "{size}");
        }
    }
}
