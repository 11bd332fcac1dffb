//! What a look costs, whatever the machine's speed.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use super::{Watching, eventually, publish, some_looks, world};

/// Long enough that no look at everything falls into a test.
const NEVER: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn idle_tasks_are_not_looked_at_where_there_are_notices() {
    let world = world();
    let folder = publish(&world, "t0", 1);
    for i in 1..300 {
        let task = world.task("packs").join(format!("t{i}"));
        fs::create_dir(&task).unwrap();
        symlink(&folder, task.join("1")).unwrap();
    }
    let watching = Watching::over(world, |config| config.reload.full_scan = NEVER).await;
    assert_eq!(watching.server.metrics().packs.folder_unwatched.get(), 0);
    // The folder of packs itself is listed once more when its times can be relied upon.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (lists, looks) = (watching.disk.lists(), watching.disk.looks());
    some_looks(&watching).await;
    assert_eq!(watching.disk.lists(), lists);
    let ticks = watching.disk.looks() - looks;
    assert!(ticks < 200, "{ticks} looks at something while nothing changed: one a tick is needed");
    watching.publish("t7", 2);
    eventually("a new version", || async { watching.live("t7").await == Some(2) }).await;
    watching.publish("new", 3);
    eventually("a new task", || async { watching.live("new").await == Some(1) }).await;
    assert!(watching.disk.lists() < lists + 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_notices_the_times_of_folders_tell() {
    let world = world();
    (0..5).for_each(|i| drop(publish(&world, &format!("t{i}"), 1)));
    let watching = Watching::over(world, |config| {
        config.reload.notices = false;
        config.reload.full_scan = NEVER;
    })
    .await;
    assert_eq!(watching.folder().await["unwatched"], 5);
    watching.publish("t3", 2);
    eventually("a new version", || async { watching.live("t3").await == Some(2) }).await;
    watching.publish("new", 2);
    eventually("a new task", || async { watching.live("new").await == Some(1) }).await;
    fs::remove_dir_all(watching.packs.join("t3/2")).unwrap();
    eventually("a roll-back", || async { watching.live("t3").await == Some(1) }).await;
    fs::remove_dir_all(watching.packs.join("t4")).unwrap();
    eventually("a removal", || async { watching.status("t4").await == 404 }).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let lists = watching.disk.lists();
    some_looks(&watching).await;
    assert_eq!(watching.disk.lists(), lists, "a folder that looks as it did is not listed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_two_thousand_versions_costs_no_more_than_its_newest() {
    let world = world();
    let first = publish(&world, "t", 1);
    for version in 2..=2000 {
        symlink(&first, world.task("packs").join(format!("t/{version}"))).unwrap();
    }
    let watching = Watching::over(world, |_| ()).await;
    assert_eq!(watching.label("t").await, (2000, "class-1".into()));
    let (reads, looks) = (watching.disk.reads(), watching.disk.looks());
    let new = watching.world.publish("packs/t", &watching.world.contents(2, 2));
    assert!(new.ends_with("t/2001"));
    eventually("the newest", || async { watching.live("t").await == Some(2001) }).await;
    assert_eq!(watching.label("t").await.1, "class-2");
    let (read, looked) = (watching.disk.reads() - reads, watching.disk.looks() - looks);
    assert!(read < 20 && looked < 1500, "{read} reads, {looked} looks");
    fs::remove_dir_all(new).unwrap();
    eventually("the one before", || async { watching.live("t").await == Some(2000) }).await;
}
