use forwarder::dataplane::*;
fn main() {
    tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).init();
    let ns = forwarder::netns::Netns::current().unwrap();
    let cookie = ns.cookie().unwrap();
    let rd = RunDir::new("/run/fwd-x1");
    let _l = Lock::acquire(&rd, cookie, std::time::Duration::ZERO).unwrap();
    println!("{:?}", probe());
    let t = std::time::Instant::now();
    match Dataplane::create(&rd, cookie, &Sizes::default()) {
        Ok(d) => {
            println!("load {:?}", t.elapsed());
            println!("{:?} {:?}", instructions(&d), d.clock());
            println!("{:?}", d.flows());
        }
        Err(e) => println!("{e} {e:?}"),
    }
    let t = std::time::Instant::now();
    println!("{:?} {:?}", Dataplane::destroy(&rd, cookie), t.elapsed());
}
