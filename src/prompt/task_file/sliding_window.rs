//! `[prompt] stride` and `max_windows`: texts that do not fit are read in windows.

use super::{SlidingWindow, raw, validate::Faults};

/// Windows of an example in a template, where the file does not say. Each costs a prompt of up to
/// `max_length` tokens: with the default length of 128 and half of it as stride these are some 1000
/// tokens of text, two pages.
const DEFAULT_MAX_WINDOWS: usize = 16;

/// The highest `max_windows`: one example must not keep an encoder busy for minutes.
const MAX_MAX_WINDOWS: usize = 64;

/// Checks `stride` and `max_windows`; `None` where texts are cut.
pub(super) fn sliding_window(
    faults: &mut Faults,
    raw: &raw::Prompt,
    max_length: usize,
) -> Option<SlidingWindow> {
    let max_windows = raw.max_windows.as_ref();
    if let Some(max_windows) = max_windows
        && !(2..=MAX_MAX_WINDOWS).contains(max_windows.get_ref())
    {
        let message = format!("max_windows must lie between 2 and {MAX_MAX_WINDOWS}");
        faults.add(&max_windows.span(), message);
    }
    let Some(stride) = &raw.stride else {
        if let Some(max_windows) = max_windows {
            let message = "max_windows is for tasks with a stride; set stride, or remove this line";
            faults.add(&max_windows.span(), message);
        }
        return None;
    };
    // Windows that lie further apart than one of them is long would leave out what is between.
    if !(1..=max_length).contains(stride.get_ref()) {
        let message = format!("stride must lie between 1 and max_length = {max_length}");
        faults.add(&stride.span(), message);
    }
    Some(SlidingWindow {
        stride: *stride.get_ref(),
        max_windows: max_windows.map_or(DEFAULT_MAX_WINDOWS, |value| *value.get_ref()),
        line: faults.line(&stride.span()),
    })
}
