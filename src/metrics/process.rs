//! What runs here, on what, and within which limits.

use std::fs::read_to_string;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{CounterVec, IntCounter, IntGauge, IntGaugeVec, Registry};

use super::make::{counter, gauge, info, real_counters};

/// Ticks of a second in `/proc`, on every architecture that the server is built for.
const TICKS: f64 = 100.0;
/// Longest name of a processor that becomes a label, bytes.
const LONGEST: usize = 128;
/// Instructions that decide how fast a backbone runs, as Linux names them.
const FEATURES: [&str; 9] =
    ["avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimddp", "i8mm", "sve"];

/// What a server is, told once.
pub struct Build<'a> {
    /// The program's version.
    pub version: &'a str,
    /// The frozen backbone.
    pub backbone: &'a str,
    /// What it multiplies in.
    pub precision: &'a str,
    /// Where it runs.
    pub device: &'a str,
}

/// What runs here, on what, and within which limits.
pub struct ProcessMetrics {
    build_info: IntGaugeVec,
    cpu_info: IntGaugeVec,
    cpu_threads: IntGauge,
    cpu_seconds: CounterVec,
    /// One look at a time: two that add at once would count the same time twice.
    looks: Mutex<()>,
    trace_spans_dropped: IntCounter,
    /// Spans that were lost, as whoever sends them counts.
    spans_lost: Mutex<Arc<AtomicU64>>,
    resident_bytes: IntGauge,
    /// Most rows in flight.
    pub queue_limit: IntGauge,
    /// Most connections.
    pub connections_limit: IntGauge,
    /// Most memory that requests may hold.
    pub request_bytes_limit: IntGauge,
    /// Most memory of the prefix cache.
    pub prefix_bytes_limit: IntGauge,
}

impl ProcessMetrics {
    pub(super) fn new(r: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            build_info: info(
                r,
                "mimi_build_info",
                "What serves; always 1",
                &["version", "backbone", "precision", "device"],
            )?,
            cpu_info: info(
                r,
                "mimi_cpu_info",
                "The processor and its instructions for matrices; always 1",
                &["model", "features"],
            )?,
            cpu_threads: gauge(r, "mimi_cpu_threads", "Processors that the server may use")?,
            cpu_seconds: real_counters(
                r,
                "process_cpu_seconds_total",
                "Processor time of the process, by mode: user, system",
                &["mode"],
            )?,
            looks: Mutex::new(()),
            trace_spans_dropped: counter(
                r,
                "mimi_trace_spans_dropped_total",
                "Spans of traces that were lost: the queue was full, or the collector did not take them",
            )?,
            spans_lost: Mutex::default(),
            resident_bytes: gauge(r, "process_resident_memory_bytes", "Memory of the process in RAM")?,
            queue_limit: gauge(r, "mimi_queue_limit_rows", "Most rows in flight")?,
            connections_limit: gauge(r, "mimi_connections_limit", "Most open connections")?,
            request_bytes_limit: gauge(r, "mimi_request_limit_bytes", "Memory that requests may hold")?,
            prefix_bytes_limit: gauge(r, "mimi_prefix_limit_bytes", "Memory that the prefix cache may take")?,
        })
    }

    /// Says what serves, and on which processor.
    pub fn tell(&self, build: &Build<'_>) {
        let Build { version, backbone, precision, device } = *build;
        self.build_info.with_label_values(&[version, backbone, precision, device]).set(1);
        let cpu = Cpu::of(&read_to_string("/proc/cpuinfo").unwrap_or_default());
        self.cpu_info.with_label_values(&[&cpu.model, &cpu.features]).set(1);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        self.cpu_threads.set(i64::try_from(threads).unwrap_or(i64::MAX));
    }

    /// Shows a number that grows elsewhere: spans of traces that were lost.
    pub fn watch_spans(&self, lost: Arc<AtomicU64>) {
        *self.spans_lost.lock().unwrap_or_else(PoisonError::into_inner) = lost;
    }

    /// Looks at what the process uses now.
    pub(super) fn look(&self) {
        let _look = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let used = Used::of(&read_to_string("/proc/self/stat").unwrap_or_default());
        for (mode, seconds) in used.iter().flat_map(|used| [("user", used.user), ("system", used.system)]) {
            let counter = self.cpu_seconds.with_label_values(&[mode]);
            counter.inc_by((seconds - counter.get()).max(0.0));
        }
        let lost = self.spans_lost.lock().unwrap_or_else(PoisonError::into_inner).load(Ordering::Relaxed);
        self.trace_spans_dropped.inc_by(lost.saturating_sub(self.trace_spans_dropped.get()));
        let status = read_to_string("/proc/self/status").unwrap_or_default();
        if let Some(bytes) = resident(&status) {
            self.resident_bytes.set(bytes);
        }
    }
}

/// Processor time of a process.
#[derive(Debug, PartialEq)]
struct Used {
    user: f64,
    system: f64,
}

impl Used {
    fn of(stat: &str) -> Option<Self> {
        // The second field is a name in parentheses that may have spaces and parentheses.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let seconds = |at: usize| Some(fields.get(at)?.parse::<f64>().ok()? / TICKS);
        Some(Self { user: seconds(11)?, system: seconds(12)? })
    }
}

/// `VmRSS` in bytes.
fn resident(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<i64>().ok()?.checked_mul(1024)
}

/// A processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Its name.
    pub model: String,
    /// Those of its instructions that decide how fast a backbone runs, with commas between.
    pub features: String,
}

impl Cpu {
    /// This machine's, as Linux tells it.
    pub fn here() -> Self {
        Self::of(&read_to_string("/proc/cpuinfo").unwrap_or_default())
    }

    fn of(cpuinfo: &str) -> Self {
        let field = |names: [&str; 2]| {
            let of = |line: &str| {
                let (name, value) = line.split_once(':')?;
                names.contains(&name.trim()).then(|| value.trim().to_owned())
            };
            cpuinfo.lines().find_map(of)
        };
        let mut model = field(["model name", "Model"]).unwrap_or_else(|| "unknown".into());
        model.truncate(model.floor_char_boundary(LONGEST));
        let flags = field(["flags", "Features"]).unwrap_or_default();
        let has = |feature: &&str| flags.split(' ').any(|flag| flag == *feature);
        let found: Vec<&str> = FEATURES.into_iter().filter(has).collect();
        Self { model, features: found.join(",") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0";
        assert_eq!(Used::of(stat), Some(Used { user: 2.5, system: 0.5 }));
        assert_eq!(Used::of(""), None);
        assert_eq!(resident("VmPeak:\t9 kB\nVmRSS:\t   3 kB\n"), Some(3072));
        assert_eq!(resident("VmRSS: x"), None);
        let intel = "processor : 0\nmodel name\t: A B @ 1GHz\nflags\t\t: fpu avx2 avx512f xyz\n";
        assert_eq!(Cpu::of(intel), Cpu { model: "A B @ 1GHz".into(), features: "avx2,avx512f".into() });
        assert_eq!(Cpu::of(""), Cpu { model: "unknown".into(), features: String::new() });
    }

    #[test]
    fn this_process_has_used_something() {
        let metrics = ProcessMetrics::new(&Registry::new()).unwrap();
        metrics.look();
        assert!(metrics.resident_bytes.get() > 1 << 20);
        let before = metrics.cpu_seconds.with_label_values(&["user"]).get();
        metrics.look();
        assert!(metrics.cpu_seconds.with_label_values(&["user"]).get() >= before);
    }

    #[test]
    fn looks_at_once_count_no_time_twice() {
        let metrics = ProcessMetrics::new(&Registry::new()).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| (0..50).for_each(|_| metrics.look()));
            }
        });
        let counted = metrics.cpu_seconds.with_label_values(&["user"]).get();
        let used = Used::of(&read_to_string("/proc/self/stat").unwrap()).unwrap().user;
        assert!(counted <= used + 1e-9, "{counted} s of {used} s");
    }
}
