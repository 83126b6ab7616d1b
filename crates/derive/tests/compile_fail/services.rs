//! Traits that cannot be asked of another process: each error says what to write instead.

use wharf_message_passing::service;

#[service]
trait Empty {} //~ `Empty` has no methods, so nobody could ask it anything

#[service]
struct NoTrait; //~ a service is a trait: expected `trait` with the methods that others may call

#[service]
trait Generic<T> { //~ a service cannot be generic: the other process must know which types travel
    fn ask(&self, value: T);
}

#[service]
trait Borrowing<'a> { //~ a service cannot have lifetimes: a borrow does not reach another process
    fn ask(&self) -> u8;
}

#[service]
unsafe trait Promising { //~ a service cannot be an unsafe trait
    fn ask(&self);
}

#[service]
trait Methods {
    fn without_self(value: u8) -> u8; //~ `without_self` needs `&self` or `&mut self` first: the server keeps what answers
    fn nothing(); //~ `nothing` needs `&self` or `&mut self` first
    fn consumes(self); //~ `consumes` needs `&self` or `&mut self` first
    async fn later(&self) -> u8; //~ a method of a service is not async
    fn borrowed(&self, text: &str); //~ an argument cannot be a reference: it travels to another process
    fn lent(&self) -> &u8; //~ an answer cannot be a reference: it travels to another process
    fn any(&self, what: impl Clone); //~ an argument cannot be `impl Trait`: the other process must know its type
    fn shown(&self) -> impl Clone; //~ an answer is a type with a name, or `impl Iterator<Item = T>` for results one after another
    fn paired(&self) -> impl Iterator<Item = u8> + Clone; //~ an answer is a type with a name, or `impl Iterator<Item = T>`
    fn lent_one_by_one(&self) -> impl Iterator<Item = &u8>; //~ a result cannot be a reference: it travels to another process
    fn generic<T>(&self, what: T); //~ `generic` cannot be generic: the other process must know which types travel
    fn taken_apart(&self, (left, right): (u8, u8)); //~ an argument of a service's method has a plain name
    fn pointed_at(&self, at: *const u8); //~ an argument cannot be a pointer: it means nothing in another process
    const LIMIT: u32; //~ a service consists of methods: nothing else of a trait travels to another process
    type Of; //~ a service consists of methods
    fn many(&self, a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: u8, l: u8, m: u8); //~ `many` has 13 arguments, and 12 are the most: put them into a struct
}

#[service]
trait Taken {
    fn new(&self); //~ `new` is a method that every client of a service has already: choose another name
    fn open(&mut self); //~ `open` is a method that every client of a service has already
    fn set_limit(&mut self, to: u8); //~ `set_limit` is a method that every client of a service has already
    fn client(&self) -> u8; //~ `client` is a method that every client of a service has already
}

#[service(name = "other")] //~ expected `crate = path`, or nothing
trait Named {
    fn ask(&self);
}

fn main() {}
