//! Lines on their way to the disk: torn, full, gone, shared, rotated.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use mimi_server::journal::{
    Boot, Found, Journal, Keep, Medium, Options, Sheet, State, SystemMedium, files, lines, mend, prune,
};
use mimi_server::metrics::Metrics;

/// A disk that can be told to fail. What is written lies in real files; what is not synced can be taken away.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Faults>>);

/// What fails now.
#[derive(Debug, Default)]
pub struct Faults {
    /// Bytes that can still be written; none for any number.
    pub room: Option<u64>,
    /// Whether a sync fails.
    pub sync: bool,
    /// Syncs that succeeded.
    pub synced: u64,
    files: BTreeMap<PathBuf, Lengths>,
}

/// How long a file is.
#[derive(Clone, Copy, Debug, Default)]
struct Lengths {
    written: u64,
    /// What the next sync puts on the disk: what a sync failed on must be written again.
    dirty: u64,
    synced: u64,
}

impl Faults {
    pub fn heal(&mut self) {
        (self.room, self.sync) = (None, false);
    }
}

impl Disk {
    pub fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.0.lock().unwrap());
    }

    pub fn synced(&self) -> u64 {
        self.0.lock().unwrap().synced
    }

    /// Everything that was written is on the disk.
    pub fn settle(&self) {
        self.set(|faults| {
            faults.files.values_mut().for_each(|lengths| {
                *lengths = Lengths { dirty: lengths.written, synced: lengths.written, ..*lengths }
            })
        });
    }

    /// Takes away what was not synced, but for a part of `kept` / 255.
    pub fn lose_power(&self, kept: u8) {
        for (path, lengths) in std::mem::take(&mut self.0.lock().unwrap().files) {
            let left = lengths.synced + (lengths.written - lengths.synced) * u64::from(kept) / 255;
            let file = std::fs::File::options().write(true).open(path).unwrap();
            // A start in between may have cut half a line off.
            file.set_len(left.min(file.metadata().unwrap().len())).unwrap();
        }
    }
}

#[derive(Debug)]
struct Faulty {
    real: Box<dyn Sheet>,
    path: PathBuf,
    disk: Disk,
}

impl Medium for Disk {
    fn begin(&self, path: &Path) -> io::Result<Box<dyn Sheet>> {
        let real = SystemMedium.begin(path)?;
        self.0.lock().unwrap().files.insert(path.to_owned(), Lengths::default());
        Ok(Box::new(Faulty { real, path: path.to_owned(), disk: self.clone() }))
    }
}

impl Sheet for Faulty {
    fn write_at(&mut self, place: u64, bytes: &[u8]) -> io::Result<()> {
        // Whoever is killed between two writes leaves whole lines.
        assert_eq!(bytes.last(), Some(&b'\n'), "a write ends within a line");
        let mut faults = self.disk.0.lock().unwrap();
        let fits = faults.room.map_or(bytes.len(), |room| bytes.len().min(room as usize));
        if let Some(room) = &mut faults.room {
            *room -= fits as u64;
        }
        let (lengths, end) = (faults.files.get_mut(&self.path).unwrap(), place + fits as u64);
        if place <= lengths.dirty {
            lengths.dirty = lengths.dirty.max(end);
        }
        lengths.written = lengths.written.max(end);
        drop(faults);
        // As much as there is room for is written, as the system does.
        self.real.write_at(place, &bytes[..fits])?;
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut faults = self.disk.0.lock().unwrap();
        let (fails, lengths) = (faults.sync, faults.files.get_mut(&self.path).unwrap());
        if fails {
            lengths.dirty = lengths.synced;
            return Err(io::Error::other("sync failed"));
        }
        lengths.synced = lengths.dirty;
        faults.synced += 1;
        self.real.sync()
    }

    fn is_there(&self) -> bool {
        self.real.is_there()
    }
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn ms(milliseconds: i64) -> SignedDuration {
    SignedDuration::from_millis(milliseconds)
}

fn options(folder: &Path, file_bytes: u64) -> Options {
    let folder = folder.to_owned();
    Options { folder, family: "audit", boot: Boot::random(), file_bytes, sync: SignedDuration::from_secs(1) }
}

struct Desk {
    journal: Journal,
    state: Arc<State>,
    now: Timestamp,
}

impl Desk {
    fn new(folder: &Path, medium: impl Medium + 'static, file_bytes: u64, now: &str) -> Self {
        let state = State::new("audit", &Metrics::new().unwrap());
        let journal =
            Journal::new(options(folder, file_bytes), Box::new(medium), Arc::clone(&state), at(now));
        Self { journal, state, now: at(now) }
    }

    fn write(&mut self, line: &str, after: SignedDuration) {
        self.now += after;
        self.journal.push(line.as_bytes(), self.now);
        self.journal.run(self.now);
    }

    fn pass(&mut self, after: SignedDuration) {
        self.now += after;
        self.journal.run(self.now);
    }
}

/// Whole lines of every file, in the order of names.
fn read(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for (path, _) in files(folder, "audit").unwrap() {
        let each = |found: Found<'_>| {
            if let Found::Whole(line) = found {
                all.push(String::from_utf8(line.to_vec()).unwrap());
            }
        };
        lines(&path, 0, each).unwrap();
    }
    all
}

fn count(folder: &Path) -> usize {
    files(folder, "audit").unwrap().len()
}

#[test]
fn a_day_ends_at_midnight_utc_and_a_file_when_it_is_large() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), SystemMedium, 40, "2026-11-30T23:59:58Z");
    desk.write("0123456789", ms(0));
    desk.write("0123456789", ms(1900));
    assert_eq!(count(dir.path()), 1);
    desk.write("next day", ms(200));
    let names = files(dir.path(), "audit").unwrap();
    assert_eq!(
        names.iter().map(|(_, name)| name.day.to_string()).collect::<Vec<_>>(),
        ["2026-11-30", "2026-12-01"]
    );
    for i in 0..20 {
        desk.write(&format!("line {i:02}"), ms(10));
    }
    assert!(
        count(dir.path()) > 4
            && files(dir.path(), "audit")
                .unwrap()
                .iter()
                .all(|(path, _)| { path.metadata().unwrap().len() <= 40 + 8 })
    );
    assert_eq!(read(dir.path()).len(), 23);
}

#[test]
fn lines_are_synced_by_interval_and_when_the_clock_was_set_back() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let mut desk = Desk::new(dir.path(), disk.clone(), 1 << 20, "2026-11-26T12:00:00Z");
    for _ in 0..9 {
        desk.write("x", ms(100));
    }
    assert_eq!((disk.synced(), desk.journal.is_settled()), (0, false));
    desk.pass(ms(100));
    assert_eq!((disk.synced(), desk.journal.is_settled()), (1, true));
    desk.write("x", ms(-3_600_000));
    assert_eq!((disk.synced(), desk.journal.is_settled()), (2, true));
    desk.write("x", ms(100));
    assert!(!desk.journal.is_settled());
    desk.journal.finish(desk.now);
    assert!(desk.journal.is_settled());
}

#[test]
fn a_full_disk_is_told_once_and_everything_is_there_once_it_is_back() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let mut desk = Desk::new(dir.path(), disk.clone(), 1 << 20, "2026-11-26T12:00:00Z");
    desk.write("before", ms(1000));
    // Room for half a line.
    disk.set(|faults| faults.room = Some(4));
    for i in 0..50 {
        desk.write(&format!("during {i}"), ms(500));
    }
    assert!(desk.state.trouble().is_some() && desk.journal.is_behind());
    assert_eq!(desk.journal.begun(), 1, "a full disk must not fill with names");
    disk.set(Faults::heal);
    desk.pass(ms(2000));
    assert!(desk.state.trouble().is_none() && !desk.journal.is_behind() && desk.journal.is_settled());
    let during = (0..50).map(|i| format!("during {i}"));
    assert_eq!(read(dir.path()), ["before".into()].into_iter().chain(during).collect::<Vec<_>>());
}

#[test]
fn a_failed_sync_is_not_taken_for_a_success() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let mut desk = Desk::new(dir.path(), disk.clone(), 1 << 20, "2026-11-26T12:00:00Z");
    desk.write("a", ms(1000));
    disk.set(|faults| faults.sync = true);
    desk.write("b", ms(1000));
    desk.pass(ms(1000));
    assert!(desk.state.trouble().is_some() && !desk.journal.is_settled());
    disk.set(Faults::heal);
    desk.pass(ms(1000));
    assert!(desk.journal.is_settled());
    // The system forgets what it could not sync: only what was written again is there.
    drop(desk);
    disk.lose_power(0);
    assert_eq!(read(dir.path()), ["a", "b"]);
}

#[test]
fn a_file_that_goes_on_failing_is_left_for_another() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
    let mut desk = Desk::new(dir.path(), disk.clone(), 1 << 20, "2026-11-26T12:00:00Z");
    disk.set(|faults| faults.sync = true);
    desk.write("a", ms(1000));
    (0..4).for_each(|_| desk.pass(ms(1000)));
    assert_eq!(desk.journal.begun(), 1);
    disk.set(Faults::heal);
    desk.pass(ms(1000));
    assert_eq!((desk.journal.begun(), read(dir.path())), (2, vec!["a".into(), "a".into()]));
}

#[test]
fn a_folder_that_was_taken_away_is_missed_and_nothing_is_written_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, away) = (dir.path().join("logs"), dir.path().join("away"));
    std::fs::create_dir(&folder).unwrap();
    let mut desk = Desk::new(&folder, SystemMedium, 1 << 20, "2026-11-26T12:00:00Z");
    desk.write("a", ms(1000));
    std::fs::rename(&folder, &away).unwrap();
    for (path, _) in files(&away, "audit").unwrap() {
        std::fs::remove_file(path).unwrap();
    }
    desk.write("b", ms(100));
    desk.write("c", ms(2000));
    assert!(desk.state.trouble().is_some() && !folder.exists());
    std::fs::create_dir(&folder).unwrap();
    desk.write("d", ms(2000));
    assert_eq!((read(&folder), desk.state.trouble()), (vec!["b".into(), "c".into(), "d".into()], None));
}

#[test]
fn half_a_line_is_cut_off_unless_somebody_writes_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), SystemMedium, 1 << 20, "2026-11-26T12:00:00Z");
    desk.write("whole", ms(1000));
    let path = files(dir.path(), "audit").unwrap()[0].0.clone();
    let tear = |text: &str| {
        std::fs::File::options().append(true).open(&path).unwrap().write_all(text.as_bytes()).unwrap();
    };
    tear("{\"half");
    assert_eq!(mend(dir.path(), "audit").unwrap(), 0, "its writer has it locked");
    drop(desk);
    assert_eq!(mend(dir.path(), "audit").unwrap(), 1);
    assert_eq!(std::fs::read(&path).unwrap(), b"whole\n");
    tear(&"\0".repeat(200_000));
    assert_eq!(mend(dir.path(), "audit").unwrap(), 1);
    assert_eq!(std::fs::read(&path).unwrap(), b"whole\n");
    std::fs::write(&path, "no end at all").unwrap();
    assert_eq!(mend(dir.path(), "audit").unwrap(), 1);
    assert_eq!((std::fs::metadata(&path).unwrap().size(), mend(dir.path(), "audit").unwrap()), (0, 0));
}

#[test]
fn the_oldest_files_go_and_never_one_that_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut other = Desk::new(dir.path(), SystemMedium, 1 << 20, "2026-11-01T12:00:00Z");
    other.write("somebody else", ms(0));
    let mut desk = Desk::new(dir.path(), SystemMedium, 1, "2026-11-20T12:00:00Z");
    for _ in 0..7 {
        desk.write(&"x".repeat(99), SignedDuration::from_hours(24));
    }
    assert_eq!(count(dir.path()), 8);
    let today = "2026-11-27".parse().unwrap();
    let own = Boot::random();
    let delete = |bytes, days| prune(dir.path(), "audit", &own, Keep { bytes, days }, today).unwrap();
    assert_eq!((delete(None, None), count(dir.path())), (0, 8));
    assert_eq!((delete(None, Some(4)), count(dir.path())), (2, 6));
    assert_eq!((delete(Some(350), None), count(dir.path())), (2, 4));
    // The other server's file and this one's last are written.
    assert_eq!((delete(Some(0), Some(0)), count(dir.path())), (2, 2));
}

/// A file system of 64 KiB for as long as `inside` runs; none where this process may not mount.
fn on_a_small_disk(script: &str) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size=64k tmpfs {} && {script}", dir.path().display());
    let done = Command::new("unshare").args(["-rm", "sh", "-c", &mount]).env("FOLDER", dir.path()).output();
    let done = done.ok().filter(|done| done.status.success());
    if done.is_none() {
        eprintln!("*** SKIPPED: no file system may be mounted here");
    }
    done.map(|done| String::from_utf8_lossy(&done.stdout).into_owned())
}

#[test]
fn a_disk_that_is_really_full_goes_on_when_there_is_room() {
    // The test's own binary runs again, inside.
    let this = std::env::current_exe().unwrap();
    let script = format!(
        "MIMI_TEST_SMALL_DISK=$FOLDER {} --exact journal::inside_a_small_disk --nocapture",
        this.display()
    );
    if let Some(told) = on_a_small_disk(&script) {
        assert!(told.contains("all 2000 lines"), "{told}");
    }
}

#[test]
fn inside_a_small_disk() {
    let Ok(folder) = std::env::var("MIMI_TEST_SMALL_DISK") else { return };
    let folder = Path::new(&folder);
    let mut desk = Desk::new(folder, SystemMedium, 1 << 20, "2026-11-26T12:00:00Z");
    let filler = folder.join("filler");
    std::fs::write(&filler, vec![0; 40 << 10]).unwrap();
    let mut was_in_trouble = false;
    for i in 0..2000 {
        desk.write(&format!("line {i:04}"), ms(10));
        was_in_trouble |= desk.state.trouble().is_some();
        if i == 1999 {
            assert!(was_in_trouble, "20 KB fitted into 24 KB less what pages take");
        }
        if i == 1500 && !was_in_trouble {
            std::fs::File::options().append(true).open(&filler).unwrap().write_all(&[0; 16 << 10]).ok();
        }
    }
    std::fs::remove_file(&filler).unwrap();
    desk.pass(ms(3000));
    let expected: Vec<String> = (0..2000).map(|i| format!("line {i:04}")).collect();
    assert_eq!((read(folder), desk.state.trouble()), (expected, None));
    println!("all 2000 lines");
}
