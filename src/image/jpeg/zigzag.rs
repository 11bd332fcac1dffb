//! The order of coefficients in the file.

/// Where each coefficient stands in its block, in the order of the file (T.81, figure A.6); numbers too high mean the
/// last one.
pub(super) const ZIGZAG: [u8; 80] = {
    let mut order = [63; 80];
    let (mut nth, mut diagonal) = (0, 0);
    while diagonal < 15 {
        let mut step = 0;
        while step <= diagonal {
            let (row, column) =
                if diagonal % 2 == 0 { (diagonal - step, step) } else { (step, diagonal - step) };
            if row < 8 && column < 8 {
                order[nth] = (8 * row + column) as u8;
                nth += 1;
            }
            step += 1;
        }
        diagonal += 1;
    }
    order
};
