//! Medians of rounds, as a table and as a chart.

use plotters::prelude::*;
use std::path::Path;
use std::time::Duration;

/// A row: medians over the rounds.
pub(crate) struct Row {
    pub(crate) name: String,
    /// CPU time a request, in microseconds.
    pub(crate) cpu: f64,
    /// The same over that of no filter.
    pub(crate) over_none: f64,
    pub(crate) latency_50: Duration,
    pub(crate) latency_99: Duration,
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A table in Markdown; `unit` is the row whose cost over none is 1.
pub(crate) fn table(rows: &[Row], unit: &str) -> String {
    let one = rows.iter().find(|row| row.name == unit).map_or(1.0, |row| row.over_none);
    let mut lines = vec![
        "| | CPU a request, µs | over no filter, µs | ratio | latency p50, µs | p99, µs |".to_owned(),
        "| --- | ---: | ---: | ---: | ---: | ---: |".to_owned(),
    ];
    lines.extend(rows.iter().map(|row| {
        let ratio = if row.over_none > 0.0 { format!("{:.2}", row.over_none / one) } else { String::new() };
        let (p50, p99) = (row.latency_50.as_micros(), row.latency_99.as_micros());
        format!("| {} | {:.1} | {:.1} | {ratio} | {p50} | {p99} |", row.name, row.cpu, row.over_none)
    }));
    lines.join("\n") + "\n"
}

/// Puts a table between `<!-- {name} -->` and `<!-- end of {name} -->`.
pub(crate) fn put(file: &Path, name: &str, table: &str) {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let text = std::fs::read_to_string(file).unwrap();
    let (before, rest) = text.split_once(&start).unwrap();
    let (_, after) = rest.split_once(&end).unwrap();
    std::fs::write(file, format!("{before}{start}{table}{end}{after}")).unwrap();
}

/// Bars of the cost over none.
pub(crate) fn chart(rows: &[Row], file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let rows: Vec<_> = rows.iter().filter(|row| row.over_none > 0.0).collect();
    let most = rows.iter().map(|row| row.over_none).fold(0.0, f64::max);
    let count = u32::try_from(rows.len())?;
    let area = SVGBackend::new(file, (900, 44 * count + 70)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("CPU a request over no filter, µs (logarithmic)", ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(30)
        .build_cartesian_2d((1.0..most * 4.0).log_scale(), 0.0..f64::from(count))?;
    chart.configure_mesh().disable_y_axis().disable_y_mesh().draw()?;
    for (nth, row) in rows.iter().enumerate() {
        let top = f64::from(count) - nth as f64;
        let colour = if row.name.starts_with("this") { RGBColor(31, 119, 180) } else { RGBColor(170, 170, 170) };
        chart.draw_series([Rectangle::new([(1.0, top - 0.75), (row.over_none, top - 0.45)], colour.filled())])?;
        chart.draw_series([Text::new(
            format!("{}: {:.0}", row.name, row.over_none),
            (1.05, top - 0.1),
            ("sans-serif", 14),
        )])?;
    }
    area.present()?;
    Ok(())
}
