import Foundation
import IOTrapStats
import Testing

extension Pools {
    /// Paths that do not answer, or answer late.
    @Suite("Stall", .serialized)
    struct StallTests {
        private func with(
            pool: String = "answer-within=300ms", bed: String = "",
            _ body: (Links, Driver, Int) throws -> Void
        ) throws {
            try Links.with("--rate 30 --latency-us 1000 \(bed)") { links in
                let driver = try links.driver(pool: pool)
                let file = try driver.open(links.path(0))
                try driver.spread("write", file, sequence: 1, over: [0, 1, 2, 3])
                try driver.spread("read", file, sequence: 1, over: [0, 1, 2, 3])
                // The first estimates are of moments. A pool that seems to be as fast as memory
                // reads to the caller's at once, and waits.
                let isSlow = try eventually {
                    try driver.transfer("read", file, sequence: 1)
                    let paths = try links.statistics(of: driver.conversation)
                    return paths.reduce(0) { $0 + $1.rateBytes } < 500 << 20
                }
                #expect(isSlow)
                try body(links, driver, file)
            }
        }

        private func path(_ link: Int, _ driver: Driver, _ links: Links) throws -> PathTotals {
            try links.statistics(of: driver.conversation)[link]
        }

        /// Starts requests until one of them is on its way to a link.
        private func start(
            _ operation: String, _ driver: Driver, _ file: Int, sequence: Int, to link: Int,
            _ links: Links, api: String = "libaio"
        ) throws {
            let isThere = try eventually {
                let line = "start \(api) \(operation) \(file) 0 65536 64 \(sequence)"
                try driver.expect(line, "started 64")
                if try links.counter(link, "in-flight") > 0 { return true }
                try driver.expect("reap", "ok")
                return false
            }
            #expect(isThere, "nothing goes to path \(link)")
        }

        @Test(
            "A late answer does not touch the caller's memory",
            arguments: ["libaio", "posix"], [0, 2])
        func lateAnswer(_ api: String, _ link: Int) throws {
            try with { links, driver, file in
                try links.set(link, "stall=on")
                try start("read", driver, file, sequence: 1, to: link, links, api: api)
                // The stall goes on: others have answered for it.
                try driver.expect("reap", "ok")
                try driver.expect("poison", "ok")
                #expect(try path(link, driver, links).reissued > 0)
                let before = try links.counter(link, "reads")
                try links.set(link, "stall=off")
                let hasCome = try eventually {
                    try links.counter(link, "reads") > before
                        && links.counter(link, "in-flight") == 0
                }
                #expect(hasCome)
                try driver.expect("poisoned", "ok")
                // The library has looked at them, too.
                let isOver = try eventually {
                    try path(link, driver, links).inFlightBytes == 0
                        && path(link, driver, links).state == .up
                }
                #expect(isOver)
                try driver.expect("poisoned", "ok")
            }
        }

        @Test(
            "A stalled path that takes no more requests keeps no other waiting", arguments: [0, 2])
        func full(_ link: Int) throws {
            try with(bed: "--background 3") { links, driver, file in
                try links.set(link, "stall=on")
                try start("read", driver, file, sequence: 1, to: link, links)
                // Three are under way there, and the stall goes on until all have ended.
                try driver.expect("reap", "ok")
                #expect(try path(link, driver, links).reissued > 3)
                try links.set(link, "stall=off")
                try driver.spread("read", file, sequence: 1, over: [0, 1, 2, 3])
            }
        }

        @Test("Writes wait for a stalled path and finish, and new ones go elsewhere")
        func writes() throws {
            try with { links, driver, file in
                try links.set(2, "stall=on")
                try start("write", driver, file, sequence: 2, to: 2, links)
                let isOut = try eventually { try path(2, driver, links).state == .stalled }
                #expect(isOut, "path 2 is not left alone")
                let rest = try driver("running")
                #expect(try #require(Int(rest)) > 0)
                let before = try links.counter(2, "in-flight")
                // Beyond the blocks of the writes that wait.
                try driver.expect("allocate \(file) 0 0 12582912", "0")
                for round in 0..<4 {
                    try driver.expect("write \(file) 8388608 1048576 \(9 + round)", "1048576")
                    try driver.expect("read \(file) 8388608 1048576 \(9 + round)", "ok")
                }
                #expect(try links.counter(2, "in-flight") == before)
                #expect(try Int(driver("running")) ?? 0 > 0, "a write ended during the stall")
                try links.set(2, "stall=off")
                try driver.expect("reap", "ok")
                try driver.spread("write", file, sequence: 3, over: [2])
                try links.expectBacking(sequence: 3)
            }
        }

        @Test("Small calls take other ways while the program's own path stalls")
        func home() throws {
            try with { links, driver, file in
                try links.set(0, "stall=on")
                try driver("async stuck read \(file) 0 4096 1")
                let isThere = try eventually { try links.counter(0, "in-flight") > 0 }
                #expect(isThere)
                // A path counts as stalled when a call has had no answer for 50 ms.
                usleep(200_000)
                for offset in 1..<20 {
                    try driver.expect("read \(file) \(offset * 65_536) 65536 1", "ok")
                }
                try driver.expect("ended stuck", "no")
                try links.set(0, "stall=off")
                try driver.expect("join stuck", "ok")
                try driver.spread("read", file, sequence: 1, over: [0])
            }
        }

        @Test("Slow reads are hedged, and the loser leaves the caller's memory alone")
        func hedged() throws {
            try with(pool: "hedge=90,answer-within=off") { links, driver, file in
                // Percentiles are of many reads.
                for _ in 0..<20 { try driver.transfer("read", file, sequence: 1) }
                try links.set(2, "stall=on")
                try start("read", driver, file, sequence: 1, to: 2, links)
                try driver.expect("reap", "ok")
                try driver.expect("poison", "ok")
                let paths = try links.statistics(of: driver.conversation)
                #expect(paths[2].hedges > 0 && paths[2].hedgesWon > 0)
                try links.set(2, "stall=off")
                let isOver = try eventually { try links.counter(2, "in-flight") == 0 }
                #expect(isOver)
                try driver.expect("poisoned", "ok")
                try driver.spread("read", file, sequence: 1, over: [0, 1, 2, 3])
            }
        }
    }
}
