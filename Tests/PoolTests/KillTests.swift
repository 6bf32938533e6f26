import Foundation
import Testing

/// Every suite of this target, one test after another: two at a time would share the machine.
@Suite(.serialized)
enum Pools {}

extension Pools {
    /// The server of one path is killed during a load that reads back what it wrote.
    @Suite("Kill", .serialized)
    struct KillTests {
        private func load(_ links: Links, seed: Int) throws -> Conversation {
            var variables = links.environment()
            variables["IOTRAP_MODE"] = "auto"
            let load = try links.start(
                [
                    Places.program("load"), "run", links.path(0), links.scratch + "/ledger",
                    "\(seed)",
                ], environment: variables)
            try progress(load, by: 200)
            return load
        }

        /// Waits until so many more requests have ended, none of them with an error.
        private func progress(_ load: Conversation, by count: Int) throws {
            let first = try #require(Int(try load.say("count")))
            let hasGoneOn = try eventually {
                let answer = try load.say("count")
                return try #require(Int(answer), "\(answer)") >= first + count
            }
            #expect(hasGoneOn, "the load stands still")
        }

        private func end(_ load: Conversation, _ links: Links, live: [Int]) throws {
            try load.send("end")
            var answer = try load.receive()
            // Answers to what was asked before.
            while Int(answer) != nil { answer = try load.receive() }
            #expect(answer == "ok", "\(links.log)")
            #expect(load.finish() == "exit 0")
            for link in live { try links.set(link, "rate=0 latency-us=0") }
            let files = live.map { links.path($0) } + [links.backing()]
            for file in files {
                let check = try links.shell(
                    "'\(Places.program("load"))' check '\(file)' '\(links.scratch)/ledger'")
                #expect(check == "ok\n", "\(file)")
            }
        }

        @Test("Nothing is lost when one of the other paths dies, and it is used when it is back")
        func otherPaths() throws {
            try Links.with("--rate 150 --latency-us 1000") { links in
                var random = SystemRandomNumberGenerator()
                let load = try load(links, seed: 1)
                var dead: Int?
                for round in 0..<16 {
                    let link = Int.random(in: 1..<4, using: &random)
                    if let dead { try comeBack(dead, load, links) }
                    dead = nil
                    try links.kill(link)
                    try progress(load, by: 60)
                    // Some stay away while the next one dies.
                    if round % 3 == 2 {
                        dead = link
                    } else {
                        try comeBack(link, load, links)
                    }
                }
                if let dead { try comeBack(dead, load, links) }
                let paths = try links.statistics(of: load)
                #expect(paths[1...].contains { $0.ejections > 0 && $0.returns > 0 })
                try end(load, links, live: [0, 1, 2, 3])
            }
        }

        /// Restarts a link, whose path must be taken back, and carry something.
        private func comeBack(_ link: Int, _ load: Conversation, _ links: Links) throws {
            let before = try links.statistics(of: load)[link].returns
            try links.restart(link)
            let isBack = try eventually {
                _ = try load.say("count")
                return try links.statistics(of: load)[link].returns > before
                    && links.counter(link, "reads") > 0 && links.counter(link, "writes") > 0
            }
            #expect(isBack, "path \(link) does not come back; \(links.log)")
        }

        @Test("The program goes on when the path that it opened dies", arguments: 0..<4)
        func home(_ round: Int) throws {
            try Links.with("--rate 150 --latency-us 1000") { links in
                let load = try load(links, seed: 100 + round)
                let areOpen = try eventually {
                    try (1..<4).allSatisfy { try links.counter($0, "writes") > 0 }
                }
                #expect(areOpen)
                try links.kill(0)
                try progress(load, by: 300)
                try end(load, links, live: [1, 2, 3])
            }
        }
    }
}
