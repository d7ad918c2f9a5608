//! The effective configuration as text, for `--print-config`.

use super::Loaded;

/// The effective configuration as TOML, by section, with the origin of each value in a comment
/// behind it. Given back as a configuration file, it yields the same configuration.
pub fn render(loaded: &Loaded) -> String {
    let lines: Vec<Line> = loaded.entries().map(Line::new).collect();
    let width = lines.iter().map(|line| line.setting.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    let mut section = "";
    for line in &lines {
        if line.section != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{gap}[{}]\n", line.section));
            section = line.section;
        }
        text.push_str(&format!("{:width$}   # {}\n", line.setting, line.origin));
    }
    text
}

/// One line of the result.
struct Line {
    section: &'static str,
    setting: String,
    origin: String,
}

impl Line {
    fn new(entry: &super::Entry) -> Self {
        // Every known key has a section; one that had none would stand at the top.
        let (section, name) = entry.key.split_once('.').unwrap_or(("", entry.key));
        let setting = format!("{name} = {}", entry.setting);
        Self { section, setting, origin: entry.origin.to_string() }
    }
}
