//! Sums as a table, CSV or JSON.

use serde_json::{Map, Value, json as value};

use super::bill::{Bill, BillRow, By};
use super::charge::Sum;
use crate::text::{columns, grouped};

/// Columns that are as wide as their widest cell; numbers stand to the right.
pub fn table(bill: &Bill, by: By) -> String {
    let mut lines = vec![heads(by)];
    lines.extend(bill.rows.iter().map(|(row, sum)| cells(row, sum, grouped)));
    let part = by.column().map(|_| String::new());
    lines.push(cells(&BillRow { tenant: "all".into(), part }, &bill.all, grouped));
    let names = 1 + usize::from(by.column().is_some());
    columns(&lines, names)
}

/// A line a row, with heads.
///
/// # Errors
/// When a row cannot be encoded.
pub fn csv(bill: &Bill, by: By) -> Result<String, String> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(heads(by)).map_err(|error| error.to_string())?;
    for (row, sum) in &bill.rows {
        out.write_record(cells(row, sum, |n| n.to_string())).map_err(|error| error.to_string())?;
    }
    let bytes = out.into_inner().map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

/// Everything that is known of a bill.
pub fn json(bill: &Bill, by: By) -> Value {
    let row = |(row, sum): (&BillRow, &Sum)| {
        let mut object = Map::new();
        object.insert("tenant".into(), row.tenant.clone().into());
        if let (Some(column), Some(part)) = (by.column(), &row.part) {
            object.insert(column.into(), part.clone().into());
        }
        object.extend(Sum::NAMES.iter().zip(sum.numbers()).map(|(name, n)| ((*name).to_owned(), n.into())));
        Value::Object(object)
    };
    let rows: Vec<Value> = bill.rows.iter().map(row).collect();
    let Bill { all, files, lines, repeated, torn, bad, .. } = bill;
    value!({"rows": rows, "all": all, "files": files, "lines": lines, "repeated": repeated, "torn": torn, "bad": bad})
}

fn heads(by: By) -> Vec<String> {
    let names = [Some("tenant"), by.column()].into_iter().flatten();
    names.chain(Sum::NAMES).map(str::to_owned).collect()
}

fn cells(row: &BillRow, sum: &Sum, number: impl Fn(u64) -> String) -> Vec<String> {
    let names = [Some(row.tenant.clone()), row.part.clone()].into_iter().flatten();
    names.chain(sum.numbers().map(number)).collect()
}
