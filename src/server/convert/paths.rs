//! Where in a request something is wrong, in the words of the protocol that it came in.

/// How the request came, whose examples and options are the same in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Protocol {
    /// `dynamar.v1`.
    Dynamar,
    /// The tensors and parameters of the Open Inference Protocol.
    OpenInference,
}

impl Protocol {
    /// All examples.
    pub(in crate::server) fn examples(self) -> &'static str {
        match self {
            Self::Dynamar => "examples",
            Self::OpenInference => "inputs",
        }
    }

    /// The fields of an example.
    pub(super) fn fields(self, example: usize) -> String {
        match self {
            Self::Dynamar => format!("examples[{example}].fields"),
            Self::OpenInference => format!("inputs.*[{example}]"),
        }
    }

    /// A field of an example: with tensors, a row of the tensor that is named after the field.
    pub(super) fn field(self, example: usize, field: &str) -> String {
        match self {
            Self::Dynamar => format!("examples[{example}].fields.{field}"),
            Self::OpenInference => format!("inputs.{field}[{example}]"),
        }
    }

    /// An option.
    pub(in crate::server) fn option(self, name: &str) -> String {
        match self {
            Self::Dynamar => format!("options.{name}"),
            Self::OpenInference => format!("parameters.{name}"),
        }
    }
}
