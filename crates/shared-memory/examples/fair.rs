//! scratch
use std::time::{Duration, Instant};
use wharf_shared_memory::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let name = format!("fair-scratch-{}", a.get(4).cloned().unwrap_or_else(|| std::process::id().to_string()));
    let secs: u64 = a[1].parse().unwrap();
    let n: usize = a[2].parse().unwrap();
    let work: u32 = a[3].parse().unwrap();
    if a.len() > 4 {
        let r: Region<Mutex<u64>> = Region::attach(&name).unwrap();
        // wait for go
        while *r.lock().unwrap() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let t = Instant::now();
        let mut c = 0u64;
        let mut longest = Duration::ZERO;
        while t.elapsed() < Duration::from_secs(secs) {
            let b = Instant::now();
            let mut g = r.lock().unwrap();
            longest = longest.max(b.elapsed());
            *g += 1;
            for _ in 0..work {
                std::hint::spin_loop();
            }
            drop(g);
            c += 1;
        }
        println!("{c} longest {longest:?}");
        return;
    }
    let r: Region<Mutex<u64>> = Region::create(&name).unwrap();
    let me = std::env::current_exe().unwrap();
    let ch: Vec<_> = (0..n)
        .map(|_| {
            std::process::Command::new(&me)
                .args([&a[1], &a[2], &a[3], &std::process::id().to_string()])
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    *r.lock().unwrap() = 1;
    let outs: Vec<String> =
        ch.into_iter().map(|c| String::from_utf8(c.wait_with_output().unwrap().stdout).unwrap()).collect();
    let v: Vec<u64> = outs.iter().map(|o| o.split(' ').next().unwrap().parse().unwrap()).collect();
    print!("{}", outs.join(""));
    println!(
        "ratio {:.2} total {}",
        *v.iter().max().unwrap() as f64 / *v.iter().min().unwrap() as f64,
        v.iter().sum::<u64>()
    );
    region::unlink(&name).unwrap();
}
