//! Looks that fail, folders that are others, tasks that vanish.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use mimi_server::reload::MARKER_FILE;

use super::disk::{EACCES, EIO, EMFILE, ESTALE, Faulty, Op};
use super::{Watching, eventually, publish, some_looks, world};
use crate::server::{classify, get, image};

const ALL: [Op; 3] = [Op::List, Op::State, Op::Read];

/// A hot task and a cold one, each with two versions.
async fn two_tasks() -> Watching {
    let world = world();
    for task in ["hot", "cold"] {
        publish(&world, task, 1);
        publish(&world, task, 2);
    }
    let watching = Watching::over(world, |_| ()).await;
    assert_eq!(watching.label("hot").await, (2, "class-2".into()));
    watching
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_no_error_while_looking_unpublishes_or_steps_back() {
    let watching = two_tasks().await;
    let (hot, cold) = (watching.packs.join("hot"), watching.packs.join("cold"));
    let faults = [
        (vec![watching.packs.clone()], ALL.to_vec(), "everything"),
        (vec![watching.packs.clone()], vec![Op::List], "listing"),
        (vec![hot.clone(), cold.clone()], vec![Op::List, Op::Read], "the tasks' folders"),
        (vec![hot.join("2"), cold.join("2")], ALL.to_vec(), "the versions"),
        (vec![cold.join("2/adapter_model.safetensors")], vec![Op::Read], "one file"),
    ];
    for (paths, ops, what) in faults {
        for errno in [EMFILE, EACCES, EIO, ESTALE] {
            paths.iter().for_each(|path| watching.disk.fail(path, &ops, errno));
            some_looks(&watching).await;
            assert_eq!(watching.label("hot").await, (2, "class-2".into()), "{what} {errno}");
            assert_eq!(watching.live("cold").await, Some(2), "{what} {errno}");
            if ops.contains(&Op::Read) {
                assert_eq!(watching.status("cold").await, 503, "{what} {errno}");
            }
            assert_eq!(watching.live("cold").await, Some(2), "{what} {errno}: after a request");
            watching.disk.heal();
        }
    }
    assert_eq!(watching.label("cold").await, (2, "class-2".into()));
    eventually("the folder is well again", || async { watching.folder().await["error"].is_null() }).await;
    let errors = &watching.server.metrics().packs.folder_errors;
    for at in ["root", "task", "version"] {
        assert!(errors.with_label_values(&[at]).get() > 0, "{at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_a_folder_that_cannot_be_listed_is_told_once_and_shown() {
    let watching = two_tasks().await;
    watching.disk.fail(&watching.packs.join("hot"), &[Op::List], EACCES);
    eventually("the trouble", || async { !watching.task("hot").await["kept"].is_null() }).await;
    let shown = watching.task("hot").await;
    assert!(shown["kept"].as_str().unwrap().contains("ermission denied"), "{shown}");
    let counted = watching.server.metrics().packs.folder_errors.with_label_values(&["task"]);
    let before = counted.get();
    some_looks(&watching).await;
    assert_eq!(counted.get(), before, "counted once as long as it lasts");
    watching.disk.heal();
    eventually("its end", || async { watching.task("hot").await["kept"].is_null() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_a_task_that_cannot_be_listed_at_the_start_is_known_and_comes() {
    let world = world();
    publish(&world, "shut", 1);
    let disk = Arc::new(Faulty::default());
    disk.fail(&world.task("packs").join("shut"), &[Op::List], EACCES);
    let watching = Watching::over(world, |config| config.reload.disk = Arc::clone(&disk) as _).await;
    assert_eq!(watching.status("shut").await, 503, "known and not ready, not unknown");
    disk.heal();
    eventually("its version", || async { watching.status("shut").await == 200 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_an_empty_folder_where_the_mount_was_unpublishes_nothing_until_confirmed() {
    let watching = two_tasks().await;
    let away = watching.world.task("away");
    for round in 0..2 {
        fs::rename(&watching.packs, &away).unwrap();
        fs::create_dir(&watching.packs).unwrap();
        eventually("the other folder", || async { !watching.folder().await["other"].is_null() }).await;
        // Repetition does not make it right.
        for _ in 0..3 {
            some_looks(&watching).await;
        }
        assert_eq!(watching.label("hot").await, (2, "class-2".into()));
        if round == 0 {
            assert_eq!(watching.status("cold").await, 503, "what was never read cannot be served meanwhile");
        }
        let folder = watching.folder().await;
        assert_eq!((folder["held"].as_u64(), folder["tasks"].as_u64()), (Some(2), Some(2)), "{folder}");
        assert!(fs::read_dir(&watching.packs).unwrap().next().is_none(), "no marker for what is not trusted");
        fs::remove_dir(&watching.packs).unwrap();
        fs::rename(&away, &watching.packs).unwrap();
        eventually("the return", || async { watching.folder().await["held"] == 0 }).await;
        assert!(watching.folder().await["other"].is_null());
        assert_eq!(watching.label("cold").await, (2, "class-2".into()));
        watching.server.reloader().confirm().await.unwrap();
        assert_eq!(watching.live("cold").await, Some(2), "confirming a whole folder changes nothing");
    }
    fs::rename(&watching.packs, &away).unwrap();
    fs::create_dir(&watching.packs).unwrap();
    eventually("the other folder", || async { watching.folder().await["held"] == 2 }).await;
    assert_eq!(watching.confirm().await["unpublished"], 2);
    assert_eq!((watching.status("hot").await, watching.status("cold").await), (404, 404));
    assert!(watching.folder().await["other"].is_null());
    assert!(watching.packs.join(MARKER_FILE).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_another_full_folder_adds_tasks_and_takes_none_away() {
    let watching = two_tasks().await;
    let (away, new) = (watching.world.task("away"), watching.world.task("new"));
    fs::create_dir(&new).unwrap();
    watching.world.publish("new/added", &watching.world.contents(7, 3));
    fs::rename(&watching.packs, &away).unwrap();
    fs::rename(&new, &watching.packs).unwrap();
    eventually("the new task", || async { watching.live("added").await == Some(1) }).await;
    some_looks(&watching).await;
    assert_eq!(watching.label("hot").await, (2, "class-2".into()));
    assert_eq!(watching.folder().await["held"], 2);
    // Once it lacks nothing it is the folder of packs.
    for task in ["hot", "cold"] {
        fs::rename(away.join(task), watching.packs.join(task)).unwrap();
    }
    eventually("its adoption", || async { watching.folder().await["other"].is_null() }).await;
    assert!(watching.packs.join(MARKER_FILE).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_many_tasks_lost_at_once_are_held_and_few_are_not() {
    let world = world();
    (0..10).for_each(|i| drop(publish(&world, &format!("t{i}"), i % 4)));
    let hour = Duration::from_secs(3600);
    let watching = Watching::over(world, |config| config.reload.loss_again = hour).await;
    watching.label("t3").await;
    let away = watching.world.task("away");
    fs::create_dir(&away).unwrap();
    // Behind one look's back: as a listing that breaks off would have it.
    let move_all = |from: &std::path::Path, to: &std::path::Path| {
        (0..8).for_each(|i| fs::rename(from.join(format!("t{i}")), to.join(format!("t{i}"))).unwrap());
    };
    watching.disk.fail(&watching.packs, &ALL, EIO);
    move_all(&watching.packs, &away);
    watching.disk.heal();
    eventually("the loss", || async { watching.folder().await["held"] == 8 }).await;
    some_looks(&watching).await;
    assert_eq!(watching.label("t3").await.1, "class-3");
    assert_eq!(watching.server.metrics().packs.tasks.get(), 10);
    assert_eq!(watching.server.metrics().packs.folder_held.get(), 8);
    assert!(!watching.task("t3").await["kept"].is_null());
    move_all(&away, &watching.packs);
    eventually("the return", || async { watching.folder().await["held"] == 0 }).await;
    assert!(watching.task("t3").await["kept"].is_null());
    fs::remove_dir_all(watching.packs.join("t1")).unwrap();
    eventually("one removal", || async { watching.status("t1").await == 404 }).await;
    fs::remove_dir_all(watching.packs.join("t2/1")).unwrap();
    eventually("an emptied task", || async { watching.status("t2").await == 404 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_a_request_does_not_bring_back_a_task_that_went_meanwhile() {
    let world = world();
    publish(&world, "t", 1);
    let watching = Watching::over(world, |_| ()).await;
    watching.disk.stall(&watching.packs.join("t/1"));
    fs::remove_dir_all(watching.packs.join("t")).unwrap();
    let app = watching.app.clone();
    let request = tokio::spawn(async move { classify(&app, "t", image("rgb.png")).await.status.as_u16() });
    eventually("the request's second look", || async { watching.disk.is_stalled() || request.is_finished() })
        .await;
    let shown = async || get(&watching.app, "/v1/tasks/t").await.status.as_u16();
    eventually("the task's end", || async { shown().await == 404 }).await;
    watching.disk.heal();
    assert_eq!((request.await.unwrap(), shown().await), (404, 404));
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_a_task_whose_only_version_never_worked_ends_with_it() {
    let watching = Watching::over(world(), |_| ()).await;
    let folder = watching.packs.join("t/1");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("adapter_config.json"), "{}").unwrap();
    eventually("its failure", || async { watching.task("t").await["failure"].is_object() }).await;
    fs::remove_dir_all(folder).unwrap();
    eventually("its end", || async { watching.status("t").await == 404 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_a_start_over_an_empty_folder_is_not_ready_until_it_is_back_or_confirmed() {
    let first = world();
    publish(&first, "t", 1);
    let state = tempfile::tempdir().unwrap();
    let keep = |config: &mut mimi_server::serve::Config| config.reload.state = Some(state.path().to_owned());
    let watching = Watching::over(first, keep).await;
    assert_eq!(get(&watching.app, "/readyz").await.status, 200);
    let (packs, away) = (watching.packs.clone(), watching.world.task("away"));
    fs::rename(&packs, &away).unwrap();
    fs::create_dir(&packs).unwrap();
    let start = async |is_confirmed: bool| {
        let mut config = mimi_server::serve::Config { adapters: packs.clone(), ..watching.world.config() };
        keep(&mut config);
        config.reload.confirm_folder = is_confirmed;
        mimi_server::serve::Server::build(config).await.unwrap()
    };
    let server = start(false).await;
    let app = server.app();
    assert_eq!(
        (get(&app, "/readyz").await.status.as_u16(), get(&app, "/healthz").await.status.as_u16()),
        (503, 200)
    );
    assert_eq!(get(&app, "/v1/folder").await.json()["awaited"], true);
    let reloader = Arc::clone(server.reloader());
    let watcher = tokio::spawn(async move { reloader.watch(Duration::from_millis(20)).await });
    fs::remove_dir(&packs).unwrap();
    fs::rename(&away, &packs).unwrap();
    eventually("the mount", || async { get(&app, "/readyz").await.status == 200 }).await;
    eventually("its task", || async { get(&app, "/v1/tasks/t").await.json()["version"] == 1 }).await;
    watcher.abort();
    fs::rename(&packs, &away).unwrap();
    fs::create_dir(&packs).unwrap();
    assert_eq!(get(&start(true).await.app(), "/readyz").await.status, 200);
    // A confirmation is remembered.
    assert_eq!(get(&start(false).await.app(), "/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn f19_folders_whose_name_is_no_task_or_version_are_told() {
    let world = world();
    publish(&world, "t", 1);
    for folder in ["Upper", "t/v1", "t/01", "lost+found", ".git", "t/.2.partial"] {
        fs::create_dir(world.task("packs").join(folder)).unwrap();
    }
    fs::write(world.task("packs").join("README.md"), "packs").unwrap();
    let watching = Watching::over(world, |_| ()).await;
    let names = async || watching.folder().await["passed_over_names"].clone();
    eventually("the names", || async { names().await == serde_json::json!(["Upper", "t/01", "t/v1"]) }).await;
    assert_eq!(watching.server.metrics().packs.folder_passed_over.get(), 3);
    fs::rename(watching.packs.join("Upper"), watching.packs.join("upper")).unwrap();
    eventually("fewer", || async { names().await == serde_json::json!(["t/01", "t/v1"]) }).await;
}
