//! How much arithmetic a prompt needs.

use dynamar::architecture::Architecture;

/// Floating-point operations of the encoder for a prompt of `tokens` tokens, a multiplication and an
/// addition counting as two. With h the hidden and i the intermediate size and n the tokens:
///
/// - a layer but the last: query, key, value and output `8nh²`, scores and context `4n²h`, feed-forward
///   `4nhi`;
/// - the last, which computes the mask row alone: key and value of all tokens `4nh²`, query and output
///   of one `4h²`, scores and context `4nh`, feed-forward of one `4hi`.
///
/// Normalisation, softmax, GELU and look-ups are left out: what is compared with this is a matrix
/// product, which has none.
pub fn flops(architecture: &Architecture, tokens: usize) -> f64 {
    let (n, h) = (tokens as f64, architecture.hidden_size as f64);
    let (i, full) = (architecture.intermediate_size as f64, architecture.layers as f64 - 1.0);
    let layer = 8.0 * n * h * h + 4.0 * n * n * h + 4.0 * n * h * i;
    let last = 4.0 * n * h * h + 4.0 * h * h + 4.0 * n * h + 4.0 * h * i;
    full * layer + last
}
