//! Turns the committed registry listing into the block that is searched at run time.

#[path = "src/table.rs"]
#[allow(dead_code, reason = "the search is the library's half of the same format")]
mod table;

fn main() {
    const LISTING: &str = "data/ieee-oui.csv";
    println!("cargo::rerun-if-changed={LISTING}");
    println!("cargo::rerun-if-changed=src/table.rs");
    let listing = std::fs::read_to_string(LISTING).expect("the listing is part of the package");
    let block = match table::encode(&listing) {
        Ok(block) => block,
        Err((line, what)) => panic!("{LISTING}:{line}: {what}"),
    };
    let date =
        listing.lines().next().and_then(|line| line.rsplit_once("date ")).map_or("", |(_, date)| date.trim());
    assert!(date.len() == 10, "{LISTING}: the first line ends with the date");
    println!("cargo::rustc-env=IEEE_OUI_DATE={date}");
    let out = std::env::var_os("OUT_DIR").expect("set by cargo");
    std::fs::write(std::path::Path::new(&out).join("ieee-oui.bin"), block).expect("OUT_DIR is writable");
}
