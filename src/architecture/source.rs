//! Places of parameters in a family's files.

/// Tensors of a file that make one parameter. Names lack the family's prefix; `{}` stands for the layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Tensors one after the other, along the outputs. A linear layer's are `[out, in]` in the file and
    /// `[in, out]` here.
    Stacked(&'static [Piece]),
    /// The last rows of a table that begins with rows for no position, such as RoBERTa's, where the
    /// positions follow the id of the padding token. Row 0 of `plus` is added to each: a family whose
    /// tokens all have segment 0 needs no table for it.
    Positions { table: &'static str, plus: Option<&'static str> },
    /// The kernel of a convolution, `[out, in, kernel]` in the file, and its bias.
    Kernel(&'static str),
}

/// A tensor, or some of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    pub tensor: &'static str,
    pub rows: Rows,
}

/// The rows of a tensor that are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    All,
    /// Parts `from..to` of `of` equal ones: of a matrix that joins query, key and value.
    Parts {
        from: usize,
        to: usize,
        of: usize,
    },
}

impl Piece {
    /// The whole of a tensor.
    pub const fn whole(tensor: &'static str) -> Self {
        Self { tensor, rows: Rows::All }
    }

    /// Parts `from..to` of `of` equal ones.
    pub const fn parts(tensor: &'static str, from: usize, to: usize, of: usize) -> Self {
        Self { tensor, rows: Rows::Parts { from, to, of } }
    }
}

/// The tensors of a masked-language-model head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LanguageHeadNames {
    /// The linear layer before the norm, without `.weight` and `.bias`.
    pub transform: &'static str,
    pub norm: &'static str,
    /// The bias of each token; the first that is there.
    pub bias: &'static [&'static str],
    /// The decoder, which some files hold although it is the word embeddings.
    pub decoder: &'static str,
    /// The transform and the norm may have no biases; zeros take their place.
    pub may_lack_biases: bool,
    /// The activation is exact GELU whatever that of the layers is.
    pub is_always_gelu: bool,
}
