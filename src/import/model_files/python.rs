//! Lines of Python that make a missing file, ready to be pasted into a shell.

use std::path::Path;

/// Letters of a text, as a tokenizer sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    Kept,
    Lowered,
}

/// Makes tokenizer.json from the files of a slow tokenizer, which may not say how it takes letters.
pub fn tokenizer(directory: &Path, case: Option<Case>) -> String {
    let directory = literal(directory);
    let option = match case {
        None => "",
        Some(Case::Kept) => ", do_lower_case=False",
        Some(Case::Lowered) => ", do_lower_case=True",
    };
    format!(
        "python3 -c \"from transformers import AutoTokenizer; \
         AutoTokenizer.from_pretrained('{directory}'{option}).save_pretrained('{directory}')\""
    )
}

/// Makes model.safetensors from a file of torch.save, without running what it names.
pub fn safetensors(file: &Path) -> String {
    let target = file.with_file_name("model.safetensors");
    let (file, target) = (literal(file), literal(&target));
    // Tied weights share their memory, which save_file refuses; each gets its own.
    format!(
        "python3 -c \"import torch; from safetensors.torch import save_file; \
         save_file({{k: v.contiguous().clone() for k, v in torch.load('{file}', \
         weights_only=True, map_location='cpu').items()}}, '{target}')\""
    )
}

/// Makes model.safetensors from the weights of another library: `from_tf` or `from_flax`.
pub fn other_library(directory: &Path, option: &str) -> String {
    let directory = literal(directory);
    format!(
        "python3 -c \"from transformers import AutoModel; \
         AutoModel.from_pretrained('{directory}', {option}=True).save_pretrained('{directory}')\""
    )
}

/// The path, if it means itself inside quotes of a shell and of Python; else a name to replace.
fn literal(path: &Path) -> &str {
    let plain = |c: char| c.is_alphanumeric() || " /._-+=@,:~".contains(c);
    path.to_str().filter(|path| path.chars().all(plain)).unwrap_or("DIR")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_could_leave_its_quotes_is_not_pasted() {
        for path in ["a'b", "a\"b", "$HOME", "`id`", "a\\b", "a\nb", "a!b"] {
            assert_eq!(literal(Path::new(path)), "DIR", "{path:?}");
        }
        assert_eq!(literal(Path::new("/models/Bert base-v1.0")), "/models/Bert base-v1.0");
    }
}
