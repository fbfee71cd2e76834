//! What the kernel tells about the machine and about the memory of one process.

use std::io;

/// Processor, memory and kernel; no name of a host, no path.
#[must_use]
pub fn told() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (cpu, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let model = after(&cpu, "model name").unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let gib = after(&memory, "MemTotal").and_then(bytes).unwrap_or(0) >> 30;
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} cores of {model}, {gib} GiB, Linux {}", kernel.trim())
}

/// Bytes of memory the process has now.
///
/// # Errors
///
/// No such process runs, or this system does not tell.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    memory(pid, "VmRSS")
}

/// The most bytes of memory the process ever had.
///
/// # Errors
///
/// No such process runs, or this system does not tell.
pub fn peak_bytes(pid: u32) -> io::Result<u64> {
    memory(pid, "VmHWM")
}

fn memory(pid: u32, name: &str) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let told = after(&status, name).and_then(bytes);
    told.ok_or_else(|| io::Error::other(format!("process {pid} tells no {name}")))
}

/// The value of a line `name: value`.
fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let found = text.lines().filter_map(|line| line.split_once(':'));
    found
        .map(|(head, value)| (head.trim(), value.trim()))
        .find(|(head, _)| *head == name)
        .map(|(_, value)| value)
}

/// A size as the kernel writes it, `12 kB`.
fn bytes(text: &str) -> Option<u64> {
    Some(text.strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_the_kernel_writes_them() {
        let text = "model name\t: A processor\nMemTotal:       16384 kB\n";
        assert_eq!(after(text, "model name"), Some("A processor"));
        assert_eq!(after(text, "MemTotal").and_then(bytes), Some(16 << 20));
        assert_eq!(after(text, "Mem"), None);
    }

    #[test]
    fn a_process_tells_its_memory_and_a_stranger_none() {
        let me = std::process::id();
        let resident = resident_bytes(me).unwrap();
        assert!(resident > 1 << 18 && peak_bytes(me).unwrap() >= resident);
        assert!(resident_bytes(u32::MAX).is_err());
    }
}
