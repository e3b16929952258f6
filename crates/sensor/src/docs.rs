//! What the program says of itself: protocols, manual page, completions. All of it from the definitions in the code.

use crate::cli::{Cli, Format};
use crate::text::{line, raw, table};
use crate::{Error, text};
use clap::CommandFactory;
use dissectors::{Claim, Dissector, REGISTRY};
use serde_json::json;

/// Where a dissector finds its protocol.
fn found(dissector: &Dissector) -> Vec<String> {
    let claims = dissector.claims.iter().map(|claim| match claim {
        Claim::EtherType(kind) => format!("EtherType {kind:04x}"),
        Claim::Snap { oui: [a, b, c], pid } => format!("SNAP {a:02x}-{b:02x}-{c:02x} {pid:04x}"),
        Claim::Udp(port) => format!("UDP {port}"),
        Claim::Tcp(port) => format!("TCP {port}"),
    });
    dissector.probe.iter().map(|_| "content, on any port".to_owned()).chain(claims).collect()
}

pub(crate) fn protocols(format: Format) -> Result<(), Error> {
    match format {
        Format::Table => {
            let rows =
                REGISTRY.iter().map(|d| vec![d.name.to_owned(), d.about.to_owned(), found(d).join(", ")]);
            line(&table(&["NAME", "PROTOCOL", "FOUND BY"], rows.collect()))?;
            for d in REGISTRY {
                line("")?;
                line(&text::strong(d.name))?;
                line(&format!("  can teach: {}", d.attributes.join(", ")))?;
            }
            Ok(())
        }
        Format::Json => REGISTRY.iter().try_for_each(|d| {
            let row =
                json!({ "name": d.name, "about": d.about, "found_by": found(d), "attributes": d.attributes });
            line(&row.to_string())
        }),
        Format::Csv => {
            let rows = REGISTRY.iter().map(|d| {
                vec![d.name.to_owned(), d.about.to_owned(), found(d).join("; "), d.attributes.join("; ")]
            });
            Ok(export::csv(
                &["name", "about", "found_by", "attributes"],
                rows,
                &mut std::io::stdout().lock(),
            )?)
        }
    }
}

pub(crate) fn man() -> Result<(), Error> {
    let mut page = Vec::new();
    let command = Cli::command();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    // One page for all: the subcommands' sections follow.
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let man = clap_mangen::Man::new(sub.clone());
        writeln(&mut page, &format!(".SH \"wardwatch {}\"", sub.get_name().to_uppercase()))?;
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        for below in sub.get_subcommands().filter(|below| below.get_name() != "help") {
            let (name, own) = (sub.get_name().to_uppercase(), below.get_name().to_uppercase());
            let man = clap_mangen::Man::new(below.clone());
            writeln(&mut page, &format!(".SH \"wardwatch {name} {own}\""))?;
            man.render_synopsis_section(&mut page)?;
            man.render_description_section(&mut page)?;
            man.render_options_section(&mut page)?;
        }
    }
    raw(&String::from_utf8_lossy(&page))
}

fn writeln(page: &mut Vec<u8>, text: &str) -> Result<(), Error> {
    page.extend_from_slice(text.as_bytes());
    page.push(b'\n');
    Ok(())
}

pub(crate) fn completions(shell: clap_complete::Shell) -> Result<(), Error> {
    clap_complete::generate(shell, &mut Cli::command(), "wardwatch", &mut std::io::stdout().lock());
    Ok(())
}
