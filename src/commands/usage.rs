//! `server usage`.

use anyhow::{Context, Result, bail};
use mimi_server::usage::{Bill, bill, csv, json, table};

use crate::cli::UsageArgs;

/// Prints what tenants used.
pub fn run(args: &UsageArgs) -> Result<()> {
    let (by, folder) = (args.by(), args.usage_log.display());
    let bill = bill(&args.usage_log, args.range()?, by).with_context(|| format!("usage log {folder}"))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&json(&bill, by))?);
    } else if args.csv {
        print!("{}", csv(&bill, by).map_err(anyhow::Error::msg)?);
    } else {
        print!("{}", table(&bill, by));
    }
    tell(&bill);
    if args.strict && bill.bad > 0 {
        bail!("{} line(s) of {folder} could not be read", bill.bad);
    }
    Ok(())
}

/// Says what was not summed, apart from the sums.
fn tell(bill: &Bill) {
    for problem in &bill.problems {
        eprintln!("bad line: {}:{}: {}", problem.file.display(), problem.line, problem.what);
    }
    let named = bill.problems.len() as u64;
    if bill.bad > named {
        eprintln!("and {} bad lines more", bill.bad - named);
    }
    if bill.repeated > 0 {
        eprintln!("{} line(s) were there twice and count once", bill.repeated);
    }
    if bill.torn > 0 {
        eprintln!("{} file(s) end in half a line, which does not count", bill.torn);
    }
}
