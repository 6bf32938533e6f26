import Foundation
import Testing

extension Pools {
    /// What only one path may see, or do, stays on the path that the program opened.
    @Suite("Coherence", .serialized)
    struct CoherenceTests {
        private func with(
            pool: String = "", _ body: (Links, Driver, Int) throws -> Void
        ) throws {
            try Links.with(count: 2) { links in
                let driver = try links.driver(pool: pool)
                let file = try driver.open(links.path(0))
                try driver.spread("write", file, sequence: 1, over: [0, 1])
                try body(links, driver, file)
            }
        }

        /// Nothing of something goes to the other link.
        private func expectAlone(
            _ links: Links, _ counter: String, at location: SourceLocation = #_sourceLocation,
            _ body: () throws -> Void
        ) throws {
            let before = try links.counter(1, counter)
            for _ in 0..<10 { try body() }
            #expect(try links.counter(1, counter) == before, sourceLocation: location)
        }

        @Test("Files opened without O_DIRECT are not spread, unless that is said to be safe")
        func buffered() throws {
            try with { links, driver, _ in
                let file = try driver.open(links.path(0), "write")
                try expectAlone(links, "reads") {
                    try driver.transfer("read", file, sequence: 1)
                    try driver.expect("read \(file) 0 4194304 1", "ok")
                }
                try expectAlone(links, "writes") {
                    try driver.transfer("write", file, sequence: 2)
                    try driver.expect("write \(file) 0 4194304 2", "4194304")
                }
            }
        }

        @Test("In a coherent pool buffered reads are spread, and buffered writes are not")
        func coherent() throws {
            try with(pool: "coherent=yes") { links, driver, _ in
                let file = try driver.open(links.path(0), "write")
                let isSpread = try eventually {
                    // Pages that are cached need no link.
                    try links.shell("sync; echo 1 > /proc/sys/vm/drop_caches")
                    try driver.transfer("read", file, sequence: 1)
                    return try links.counter(1, "reads") > 10
                }
                #expect(isSpread, "\(links.log)")
                try expectAlone(links, "writes") {
                    try driver.transfer("write", file, sequence: 2)
                    try driver.expect("read \(file) 0 4194304 2", "ok")
                }
            }
        }

        @Test("A file that is mapped is not spread any more")
        func mapped() throws {
            try with { links, driver, file in
                let other = try driver.open(links.path(0), "write")
                try driver.expect("map \(other) 65536 7", "ok")
                try expectAlone(links, "writes") {
                    try driver.transfer("write", file, sequence: 2)
                    try driver.expect("write \(file) 0 4194304 2", "4194304")
                }
                try expectAlone(links, "reads") {
                    try driver.transfer("read", file, sequence: 2)
                    try driver.expect("read \(file) 0 4194304 2", "ok")
                }
            }
        }

        @Test("Writes to the end of a file stay on one path", arguments: ["append", "longer"])
        func appended(_ how: String) throws {
            try with { links, driver, file in
                let flags = how == "append" ? "write,direct,append" : "write,direct"
                let other = try driver.open(links.path(0), flags)
                var end = 4 << 20
                try expectAlone(links, "writes") {
                    try driver.expect("write \(other) \(end) 1048576 3", "1048576")
                    end += 1 << 20
                    try driver.expect("size \(file)", "\(end)")
                }
                // What is new is seen through the other path at once.
                try driver.expect("read \(other) 4194304 10485760 3", "ok")
                try driver.expect("start libaio read \(file) 4194304 65536 160 3", "started 160")
                try driver.expect("reap", "ok")
            }
        }

        @Test("Sizes that change are seen on all paths")
        func sizes() throws {
            try with { links, driver, file in
                for round in 0..<5 {
                    try driver.expect("truncate \(file) 1048576", "0")
                    try driver.expect("read \(file) 0 4194304 1", "1048576")
                    try driver.expect("start libaio read \(file) 1048576 65536 8 1", "started 8")
                    try driver.expect("reap", "request 0 gave 0")
                    try driver.expect("allocate \(file) 0 0 4194304", "0")
                    try driver.expect("size \(file)", "4194304")
                    try driver.spread("write", file, sequence: 10 + round, over: [1])
                    try driver.expect("read \(file) 0 4194304 \(10 + round)", "ok")
                    // Made longer and shorter by others.
                    try links.shell("truncate -s 6M '\(links.path(1))'")
                    try driver.expect("size \(file)", "6291456")
                    try driver.expect("read \(file) 4194304 4194304 0", "2097152")
                    try links.shell("truncate -s 4M '\(links.path(1))'")
                    try driver.transfer("read", file, sequence: 10 + round)
                }
            }
        }

        @Test("Reads at and over the end of a file are as short as without the library")
        func ends() throws {
            try Links.with(count: 2) { links in
                try links.shell("head -c 3000000 /dev/zero > '\(links.backing())'")
                let driver = try links.driver()
                let bare = try links.bareDriver()
                let files = try [driver, bare].map { try $0.open(links.path(0), "write,direct") }
                try driver.expect("write \(files[0]) 0 2097152 1", "2097152")
                let hasBoth = try eventually {
                    try driver.expect("read \(files[0]) 0 2097152 1", "ok")
                    return try links.counter(1, "read-bytes") > 1 << 20
                }
                #expect(hasBoth, "\(links.log)")
                for offset in [0, 1 << 20, 2_998_272, 3_002_368, 8 << 20] {
                    for bytes in [4096, 65_536, 1 << 20, 4 << 20] where offset + bytes > 3_000_000 {
                        for form in ["read", "readv"] {
                            try driver.expect(
                                "\(form) \(files[0]) \(offset) \(bytes) 1",
                                try bare("\(form) \(files[1]) \(offset) \(bytes) 1"))
                        }
                        for api in ["libaio", "posix"] {
                            let line = "\(offset) \(bytes) 1 1"
                            try driver("start \(api) read \(files[0]) \(line)")
                            try bare("start \(api) read \(files[1]) \(line)")
                            try driver.expect("reap", try bare("reap"))
                        }
                    }
                }
            }
        }

        @Test("A locked file that is read through the page cache stays on one path")
        func locked() throws {
            try with(pool: "coherent=yes") { links, driver, _ in
                let file = try driver.open(links.path(0), "write")
                try driver.expect("lock \(file)", "0")
                try expectAlone(links, "reads") {
                    try driver.expect("read \(file) 0 4194304 1", "ok")
                    try driver.transfer("read", file, sequence: 1)
                }
            }
        }
    }
}
