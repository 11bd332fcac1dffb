//! `server predict`.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use mimi_server::predict::{
    Asker, Format, Local, Progress, Remote, RemoteOptions, Settings, images, run as score,
};
use mimi_server::serve::Server;
use mimi_server::train::{self, write_list};

use super::left_out::tell_left_out;
use super::progress::Reporter;
use crate::cli::PredictArgs;

/// Scores images under tasks.
pub fn run(args: &PredictArgs) -> Result<()> {
    let (question, remote) = (args.question()?, args.remote()?);
    Format::of(&args.out)?;
    let mut left_out = Vec::new();
    let images = images(&args.data, &mut left_out)?;
    if let Some(list) = &args.list_skipped {
        write_list(list, &left_out)?;
    }
    tell_left_out(&left_out, args.list_skipped.as_deref());
    ensure!(!images.is_empty(), "{}: there is no image in it", args.data.display());
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let scored = threads.block_on(async {
        let Opened { asker, by, at_once } = match remote {
            Some(options) => ask_server(options)?,
            None => ask_here(args).await?,
        };
        let largest = args.limits.limits().max_bytes as u64;
        let settings = Settings { question, by, at_once, largest, patience: args.patience() };
        let mut reporter = Reporter::new();
        let show = |Progress { done, count, rate }: Progress| {
            reporter.show(train::Progress::Images { what: "scoring", done, count, rate });
        };
        let scored = score(asker, &images, &args.out, &settings, show).await;
        reporter.end();
        let again = "what was answered is kept: the same command goes on";
        let summary = scored.with_context(|| again)?;
        tell(args, summary)
    });
    // What still waits for a server's answer does not keep the process.
    threads.shutdown_background();
    scored
}

/// Who answers.
struct Opened {
    asker: Arc<dyn Asker>,
    /// Its name, in what is written down of a run.
    by: String,
    at_once: usize,
}

fn ask_server(options: RemoteOptions) -> Result<Opened> {
    let (by, at_once) = (options.url.clone(), options.connections);
    Ok(Opened { asker: Arc::new(Remote::new(options)?), by, at_once })
}

async fn ask_here(args: &PredictArgs) -> Result<Opened> {
    args.local.runtime.check_devices()?;
    let config = args.config();
    let at_once = args.at_once(&config);
    let by = format!(
        "{} {} {} {:?}",
        config.backbone.display(),
        config.weights.precision,
        config.adapters.display(),
        config.service.image
    );
    let server = Server::build(config).await?;
    Ok(Opened { asker: Arc::new(Local::new(server.app())), by, at_once })
}

fn tell(args: &PredictArgs, summary: mimi_server::predict::Summary) -> Result<()> {
    let mimi_server::predict::Summary { images, failed, resumed, predicted, refused } = summary;
    let out = args.out.display();
    let before = if resumed > 0 { format!(", {resumed} of them by a run before") } else { String::new() };
    println!("{out}: {images} images under {} task(s){before}", args.tasks.len());
    if failed > 0 {
        println!("{failed} could not be scored; their lines say why");
    }
    if refused > 0 {
        println!("{refused} answers of tasks are failures; their lines say why");
    }
    ensure!(predicted > 0, "none of the {images} images could be scored; {out} says why");
    Ok(())
}
