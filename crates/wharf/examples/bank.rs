//! A service that reads like a trait: a bank in a process of its own, whose refusals are answers too.
//!
//! `cargo run --example bank` starts the bank and asks it; `examples/bank.rs` is all of both sides.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wharf::{Domain, Node, NodeOptions, service};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Refusal {
    NoAccount(String),
    TooLittle { there: u64, wanted: u64 },
}

#[service]
trait Bank {
    /// Puts money into an account, and says how much is there then.
    fn deposit(&mut self, account: String, amount: u64) -> u64;
    /// Moves money, all of it or none.
    fn transfer(&mut self, from: String, to: String, amount: u64) -> Result<(), Refusal>;
    /// Every account.
    fn accounts(&self) -> Vec<(String, u64)>;
    /// What an account grows to, year by year, for as long as somebody asks.
    fn growth(&self, account: String, percent: u64) -> impl Iterator<Item = u64>;
}

#[derive(Default)]
struct Vault {
    accounts: BTreeMap<String, u64>,
}

impl Bank for Vault {
    fn deposit(&mut self, account: String, amount: u64) -> u64 {
        let there = self.accounts.entry(account).or_default();
        *there += amount;
        *there
    }

    fn transfer(&mut self, from: String, to: String, amount: u64) -> Result<(), Refusal> {
        let there = self.accounts.get_mut(&from).ok_or(Refusal::NoAccount(from))?;
        let left = there.checked_sub(amount).ok_or(Refusal::TooLittle { there: *there, wanted: amount })?;
        *there = left;
        *self.accounts.entry(to).or_default() += amount;
        Ok(())
    }

    fn accounts(&self) -> Vec<(String, u64)> {
        self.accounts.iter().map(|(name, there)| (name.clone(), *there)).collect()
    }

    fn growth(&self, account: String, percent: u64) -> impl Iterator<Item = u64> {
        let there = self.accounts.get(&account).copied();
        std::iter::successors(there, move |there| there.checked_add(there.checked_mul(percent)? / 100))
    }
}

fn node(directory: &str) -> wharf::Result<Node> {
    Ok(NodeOptions::new().domain(Domain::at(directory.as_ref())?).open()?)
}

fn main() -> wharf::Result<()> {
    if let [_, directory] = &std::env::args().collect::<Vec<_>>()[..] {
        let mut bank = BankServer::open(&node(directory)?.service("bank"), Vault::default())?;
        return bank.serve().map(|never| match never {}).map_err(wharf::Error::from);
    }
    let directory = tempfile::tempdir().map_err(wharf::Error::from)?;
    let path = directory.path().display().to_string();
    let mut child = Command::new(std::env::current_exe()?).arg(&path).stderr(Stdio::null()).spawn()?;

    let mut bank = BankClient::open(&node(&path)?.service("bank"), Duration::from_secs(30))?;
    println!("ada has {}", bank.deposit("ada".to_owned(), 100)?);
    println!("to bob: {:?}", bank.transfer("ada".to_owned(), "bob".to_owned(), 30)?);
    println!("again: {:?}", bank.transfer("ada".to_owned(), "bob".to_owned(), 300)?);
    println!("from eve: {:?}", bank.transfer("eve".to_owned(), "bob".to_owned(), 1)?);
    println!("in all: {:?}", bank.accounts()?);
    // Dropping what comes cancels the call: the server goes on no longer than somebody listens.
    for (year, there) in bank.growth("ada".to_owned(), 10)?.take(4).enumerate() {
        println!("year {year}: {}", there?);
    }
    println!("in all: {:?}", bank.accounts()?);
    child.kill()?;
    child.wait()?;
    Ok(())
}
