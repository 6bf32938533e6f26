import Foundation
import Testing

extension Pools {
    /// Each interface really moves bytes over every link, and the right ones.
    @Suite("Spread", .serialized)
    struct SpreadTests {
        private func bytes(_ links: Links, _ counter: String) throws -> [Int] {
            try (0..<links.count).map { try links.counter($0, counter) }
        }

        /// Repeats something until every link has carried a share of it.
        private func expectSpread(
            _ links: Links, _ counter: String, _ why: String, _ body: () throws -> Void
        ) throws {
            let before = try bytes(links, counter)
            let isSpread = try eventually {
                try body()
                return try zip(bytes(links, counter), before).allSatisfy { $0 > $1 + 65_536 }
            }
            let after = try bytes(links, counter)
            #expect(isSpread, "\(why): \(before), then \(after); \(links.log)")
        }

        /// Eight threads, each with a part of the file: vectors are not cut.
        private func together(
            _ driver: Driver, _ words: String, _ sequence: String, _ answer: String
        ) throws {
            for part in 0..<8 {
                let line = "\(words) \(part * 524_288) 524288 \(sequence)"
                try driver.expect("async t\(part) \(line)", "started")
            }
            for part in 0..<8 { try driver.expect("join t\(part)", answer) }
        }

        private func exercise(_ links: Links, _ driver: Driver) throws {
            let file = try driver.open(links.path(0))
            try driver.spread("write", file, sequence: 1, over: [0, 1, 2, 3])
            try expectSpread(links, "write-bytes", "pwrite") {
                try driver.expect("write \(file) 0 4194304 10", "4194304")
            }
            try links.expectBacking(sequence: 10)
            try expectSpread(links, "read-bytes", "pread") {
                try driver.expect("read \(file) 0 4194304 10", "ok")
            }
            try expectSpread(links, "write-bytes", "pwritev") {
                try together(driver, "writev \(file)", "11", "524288")
            }
            try links.expectBacking(sequence: 11)
            try expectSpread(links, "read-bytes", "preadv") {
                try together(driver, "readv \(file)", "11", "ok")
            }
            for (number, api) in ["libaio", "posix"].enumerated() {
                for size in [4096, 65_536, 1 << 20] {
                    let count = min(512, (4 << 20) / size)
                    let sequence = 20 + number
                    try expectSpread(links, "write-bytes", "\(api) writes of \(size)") {
                        try driver.transfer(
                            "write", file, sequence: sequence, api: api, bytes: size, count: count)
                    }
                    try links.expectBacking(sequence: sequence, bytes: size * count)
                    try expectSpread(links, "read-bytes", "\(api) reads of \(size)") {
                        try driver.transfer(
                            "read", file, sequence: sequence, api: api, bytes: size, count: count)
                    }
                }
            }
        }

        @Test("Every interface moves bytes over all links")
        func interfaces() throws {
            try Links.with("--latency-us 1000") { links in
                try exercise(links, try links.driver())
            }
        }

        @Test("Mode off, and mount-pools=off, leave everything on the program's path")
        func off() throws {
            try Links.with(count: 2) { links in
                var variables = links.environment()
                variables["IOTRAP_SET"] = "mount-pools=off"
                variables["IOTRAP_MODE"] = "auto"
                for driver in [try links.driver(mode: "off"), try links.driver(variables)] {
                    let file = try driver.open(links.path(0))
                    for api in ["libaio", "posix"] {
                        try driver.transfer("write", file, sequence: 1, api: api)
                        try driver.transfer("read", file, sequence: 1, api: api)
                    }
                    try driver.expect("write \(file) 0 4194304 2", "4194304")
                }
                #expect(try links.counter(1, "writes") == 0 && links.counter(1, "reads") == 0)
                try links.expectBacking(sequence: 2)
            }
        }
    }
}
