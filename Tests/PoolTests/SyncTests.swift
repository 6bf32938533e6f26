import Foundation
import Testing

extension Pools {
    /// A sync reaches what was written through every path, and its error is the program's.
    ///
    /// Links with volatile=on keep writes in the memory of their server until a sync comes through
    /// that link. They show no changes before that, so files are spread first.
    @Suite("Sync", .serialized)
    struct SyncTests {
        static let ways = [
            "fsync", "fdatasync", "syncfs", "aio_fsync", "aio_fdsync", "libaio_fsync",
            "libaio_fdsync",
        ]

        /// A file that may be written through all links.
        private func prepare(
            _ links: Links, flags: String = "write,direct,create"
        ) throws -> (Driver, Int) {
            let driver = try links.driver()
            let file = try driver.open(links.path(0), flags)
            try driver.spread("write", file, sequence: 1, over: [0, 1, 2, 3])
            return (driver, file)
        }

        /// Writes the file until each of the other links holds a part of that in memory.
        private func dirty(
            _ driver: Driver, _ file: Int, _ links: Links, sequence: Int,
            at location: SourceLocation = #_sourceLocation
        ) throws {
            try links.setAll("volatile=on")
            let areDirty = try eventually {
                try driver.transfer("write", file, sequence: sequence, at: location)
                return try (1..<4).allSatisfy { try links.unsynced($0) > 0 }
            }
            #expect(areDirty, "\(links.log)", sourceLocation: location)
        }

        private func expectSynced(
            _ links: Links, _ wanted: Range<Int>, _ why: String,
            at location: SourceLocation = #_sourceLocation
        ) throws {
            for link in wanted {
                #expect(
                    try links.unsynced(link) == 0, "link \(link) after \(why)",
                    sourceLocation: location)
            }
        }

        @Test("A sync reaches every path that carried a write", arguments: [ways])
        func reachesAll(_ ways: [String]) throws {
            try Links.with { links in
                let (driver, file) = try prepare(links)
                for (number, way) in ways.enumerated() {
                    try dirty(driver, file, links, sequence: 10 + number)
                    try driver.expect("sync \(way) \(file)", "0")
                    // syncfs asks nothing of the server of a FUSE file system.
                    try expectSynced(links, way == "syncfs" ? 1..<4 : 0..<4, way)
                }
                let paths = try links.statistics(of: driver.conversation)
                #expect(paths[1...].allSatisfy { $0.syncs >= ways.count })
            }
        }

        @Test("What was synced survives the death of every server")
        func survives() throws {
            try Links.with { links in
                let (driver, file) = try prepare(links)
                try dirty(driver, file, links, sequence: 2)
                try driver.expect("sync fdatasync \(file)", "0")
                try links.killAll()
                try links.expectBacking(sequence: 2)
            }
        }

        @Test("An error of one path's sync is that of the program's, once", arguments: [ways])
        func errors(_ ways: [String]) throws {
            try Links.with { links in
                let (driver, file) = try prepare(links)
                for (number, way) in ways.enumerated() {
                    try dirty(driver, file, links, sequence: 10 + number)
                    try links.set(2, "fail-sync=EIO")
                    try driver.expect("sync \(way) \(file)", "-EIO")
                    try driver.expect("sync \(way) \(file)", "0")
                    // syncfs and fsync each tell of it, as the kernel's do.
                    if way == "syncfs" { try driver.expect("sync fsync \(file)", "-EIO") }
                    try driver.expect("sync fsync \(file)", "0")
                    try links.setAll("fail-sync=off volatile=off")
                    // A path whose sync failed is taken out, and has to come back.
                    try driver.spread("write", file, sequence: 30 + number, over: [1, 2, 3])
                    try driver.expect("sync fsync \(file)", "0")
                }
            }
        }

        @Test("A path that is lost with unsynced writes makes the next sync fail, once")
        func lost() throws {
            try Links.with { links in
                let (driver, file) = try prepare(links)
                try dirty(driver, file, links, sequence: 2)
                try links.kill(1)
                // Requests that go on meanwhile must not make it forgotten.
                try driver("start libaio read \(file) 0 65536 64 2")
                try driver("reap")
                try driver.expect("sync fdatasync \(file)", "-EIO", or: "-ENOTCONN")
                try driver.expect("sync fdatasync \(file)", "0")
                try expectSynced(links, 2..<4, "a path was lost")
            }
        }

        @Test("When the program's own path is gone its sync fails once, and the others' go on")
        func homeLost() throws {
            try Links.with { links in
                let (driver, file) = try prepare(links)
                try dirty(driver, file, links, sequence: 2)
                try links.kill(0)
                try driver.transfer("write", file, sequence: 3)
                try driver.expect("sync fsync \(file)", "-ENOTCONN", or: "-EIO")
                for (number, way) in ["fsync", "aio_fsync", "libaio_fdsync"].enumerated() {
                    try driver.transfer("write", file, sequence: 4 + number)
                    try driver.expect("sync \(way) \(file)", "0")
                    try expectSynced(links, 1..<4, way)
                }
                try driver.expect("sync fsync \(file)", "0")
                try links.set(2, "fail-sync=EIO")
                let isDirty = try eventually {
                    try driver.transfer("write", file, sequence: 7)
                    return try links.unsynced(2) > 0
                }
                #expect(isDirty, "\(links.log)")
                try driver.expect("sync fsync \(file)", "-EIO")
            }
        }

        @Test("The same when the path is back before the sync")
        func lostAndBack() throws {
            try Links.with { links in
                let (driver, file) = try prepare(links)
                try dirty(driver, file, links, sequence: 2)
                try links.kill(1)
                try links.restart(1)
                try links.setAll("volatile=off")
                try driver.spread("write", file, sequence: 3, over: [1])
                try driver.expect("sync fdatasync \(file)", "-EIO", or: "-ENOTCONN")
                try driver.expect("sync fdatasync \(file)", "0")
            }
        }

        @Test("Writes that are said to be durable are, on each path", arguments: ["dsync", "sync"])
        func durable(_ flag: String) throws {
            try Links.with { links in
                let (driver, file) = try prepare(links, flags: "write,direct,create,\(flag)")
                try links.setAll("volatile=on")
                try driver.spread("write", file, sequence: 2, over: [0, 1, 2, 3])
                try expectSynced(links, 0..<4, flag)
                try links.killAll()
                try links.expectBacking(sequence: 2)
            }
        }

        @Test("So are those with RWF_DSYNC")
        func durableCalls() throws {
            try Links.with("--latency-us 2000") { links in
                let (driver, file) = try prepare(links)
                try links.setAll("volatile=on")
                let before = try (0..<4).map { try links.counter($0, "writes") }
                let isSpread = try eventually {
                    try driver.expect("write \(file) 0 4194304 2 dsync", "4194304")
                    return try (0..<4).allSatisfy {
                        try links.counter($0, "writes") > before[$0]
                    }
                }
                #expect(isSpread, "\(links.log)")
                try expectSynced(links, 0..<4, "RWF_DSYNC")
                try links.expectBacking(sequence: 2)
            }
        }
    }
}
