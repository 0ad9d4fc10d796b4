use crate::export::{column::Table, events::Events, sockets::Sockets};

const GUIDE: &str = include_str!("../../../../docs/export.md");

/// The columns that a section of the guide names, with their types.
fn documented(section: &str) -> Vec<(&'static str, &'static str)> {
    let heading = format!("\n## {section}\n");
    let text = GUIDE.split_once(&heading).unwrap_or_else(|| panic!("{section}")).1;
    let text = text.split_once("\n## ").map_or(text, |(section, _)| section);
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(name, rest)| (name, rest.split_once(" |").unwrap().0)).collect()
}

fn written<T: Table>() -> Vec<(&'static str, &'static str)> {
    T::COLUMNS.iter().map(|column| (column.name, column.kind.name())).collect()
}

#[test]
fn the_guide_names_every_column_in_order_with_its_type() {
    assert_eq!(documented("Sockets"), written::<Sockets>());
    assert_eq!(documented("Events"), written::<Events>());
}
