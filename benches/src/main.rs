//! The program that the scripts beside it run: makes captures, and is what is measured where a process of its own is
//! needed.

use benches::hostile::Flood;
use benches::passes::{self, Whole};
use benches::{Traffic, gate, memory, write};
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
bench make KIND PACKETS OUT.pcap   writes a capture; KIND is mix, small, flows or a flood
bench bare CAPTURE                 reads a pcap file as quickly as can be: the yardstick
bench replay CAPTURE               end to end, into a database that is thrown away
bench memory FLOWS                 bytes of memory for each of so many flows tracked at once
bench gate TABLE [--bless]         instructions a packet against the table; with --bless, into it
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &[&str]) -> Result<ExitCode, Box<dyn Error>> {
    match args {
        ["make", kind, packets, out] => {
            let mut file = BufWriter::with_capacity(1 << 20, File::create(out)?);
            match (Traffic::parse(kind), Flood::parse(kind)) {
                (Some(traffic), _) => write(traffic, packets.parse()?, &mut file)?,
                (None, Some(flood)) => flood.write(packets.parse()?, &mut file)?,
                (None, None) => {
                    return Err("KIND is mix, small, flows or a flood, see benches/src/hostile.rs".into());
                }
            }
            file.flush()?;
        }
        ["bare", capture] => println!("{} packets", passes::bare(Path::new(capture))),
        ["replay", capture] => println!("{} packets", Whole::open(Path::new(capture)).run(|_| {})),
        ["memory", flows] => println!("{:.1}", memory::per_flow(flows.parse()?)),
        ["gate", table] => {
            let was = gate::parse(&fs::read_to_string(table)?)?;
            let (text, holds) = gate::compare(&was, &gate::measure(&std::env::current_exe()?)?);
            print!("{text}");
            return Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        ["gate", table, "--bless"] => {
            let text = gate::table(&gate::measure(&std::env::current_exe()?)?);
            fs::write(table, &text)?;
            print!("{text}");
        }
        _ => {
            eprint!("{USAGE}");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}
