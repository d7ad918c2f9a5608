//! What the process takes up, under the names that every Prometheus client library uses.

use procfs::{ProcResult, WithCurrentSystemInfo, process::Process};

use super::Page;

/// Writes down what the process takes up; nothing of what the system does not tell.
pub fn show_process(page: &mut Page) {
    let Ok(process) = Process::myself() else { return };
    // Each by itself: a sandbox may hide one and not the other.
    let _ = show_usage(page, &process);
    let _ = show_files(page, &process);
}

fn show_usage(page: &mut Page, process: &Process) -> ProcResult<()> {
    let stat = process.stat()?;
    let ticks = procfs::ticks_per_second() as f64;
    let cpu_seconds = (stat.utime + stat.stime) as f64 / ticks;
    let started = procfs::boot_time_secs()? as f64 + stat.starttime as f64 / ticks;
    page.seconds("process_cpu_seconds_total", "CPU time spent, user and system.", cpu_seconds);
    let rss = stat.rss_bytes().get();
    page.gauge("process_resident_memory_bytes", "Resident memory.", &[], rss as f64);
    page.gauge("process_virtual_memory_bytes", "Virtual memory.", &[], stat.vsize as f64);
    page.gauge("process_threads", "Threads.", &[], stat.num_threads as f64);
    page.gauge("process_start_time_seconds", "When it started, in Unix time.", &[], started);
    Ok(())
}

fn show_files(page: &mut Page, process: &Process) -> ProcResult<()> {
    page.gauge("process_open_fds", "Open file descriptors.", &[], process.fd_count()? as f64);
    let limit = process.limits()?.max_open_files.soft_limit;
    if let procfs::process::LimitValue::Value(limit) = limit {
        page.gauge("process_max_fds", "Open file descriptors at most.", &[], limit as f64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_up_something() {
        let mut page = Page::default();
        show_process(&mut page);
        let text = page.text().expect("text");
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
            line.unwrap_or_else(|| panic!("{name} in {text}")).parse().expect("a number")
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
        assert!(value("process_threads") >= 1.0 && value("process_open_fds") >= 1.0);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!(value("process_start_time_seconds") > 1.7e9, "seconds since 1970");
    }
}
