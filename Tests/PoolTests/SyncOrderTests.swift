import Foundation
import Testing

extension Pools {
    /// Syncs of other descriptors, processes and threads than those that wrote.
    @Suite("Sync by others", .serialized)
    struct SyncOrderTests {
        private func with(_ body: (Links, Driver, Int) throws -> Void) throws {
            try Links.with { links in
                let driver = try links.driver()
                let file = try driver.open(links.path(0))
                try driver.spread("write", file, sequence: 1, over: [0, 1, 2, 3])
                try links.setAll("volatile=on")
                let areDirty = try eventually {
                    try driver.transfer("write", file, sequence: 2)
                    return try (1..<4).allSatisfy { try links.unsynced($0) > 0 }
                }
                #expect(areDirty, "\(links.log)")
                try body(links, driver, file)
            }
        }

        private func expectSynced(
            _ links: Links, at location: SourceLocation = #_sourceLocation
        ) throws {
            for link in 0..<4 {
                #expect(
                    try links.unsynced(link) == 0, "link \(link); \(links.log)",
                    sourceLocation: location)
            }
            try links.expectBacking(sequence: 2, at: location)
        }

        @Test("A forked child syncs what its parent wrote", arguments: ["fsync", "aio_fsync"])
        func child(_ way: String) throws {
            try with { links, driver, file in
                try driver.expect("child sync \(way) \(file)", "0")
                try expectSynced(links)
                // What the child did is none of the parent's business.
                try driver.expect("sync fsync \(file)", "0")
            }
        }

        @Test("A child that cannot sync a path of its parent's says so")
        func childOfLost() throws {
            try with { links, driver, file in
                try links.kill(3)
                try driver.expect("child sync fsync \(file)", "-EIO", or: "-ENOTCONN")
                try driver.expect("sync fsync \(file)", "-EIO", or: "-ENOTCONN")
            }
        }

        @Test("A duplicate of the descriptor syncs")
        func duplicate() throws {
            try with { links, driver, file in
                try driver.expect("dup2 \(file) 40", "40")
                try driver.expect("sync fdatasync 40", "0")
                try expectSynced(links)
            }
        }

        @Test("Another descriptor of the file syncs when the one that wrote is closed")
        func closed() throws {
            try with { links, driver, file in
                try driver.expect("close \(file)", "0")
                let other = try driver.open(links.path(0), "write")
                try driver.expect("sync fsync \(other)", "0")
                try expectSynced(links)
            }
        }

        @Test("A file that was renamed syncs under its new name")
        func renamed() throws {
            try with { links, driver, file in
                try driver.expect("rename \(links.path(0)) \(links.path(0, "new"))", "0")
                try driver.expect("close \(file)", "0")
                let other = try driver.open(links.path(0, "new"), "write,direct")
                try driver.expect("sync fsync \(other)", "0")
                try links.expectBacking("new", sequence: 2)
            }
        }

        @Test("Nothing is left unsynced on other paths by exec")
        func exec() throws {
            try with { links, driver, file in
                try driver.conversation.send("exec")
                try driver.expect("sync fsync \(file)", "0")
                try expectSynced(links)
            }
        }

        @Test("A second sync does not answer before the first one that covers the same writes")
        func together() throws {
            try with { links, driver, file in
                // Long enough for the second sync to be asked for in the meantime.
                try links.set(2, "latency-us=3000000")
                try driver("async first sync fdatasync \(file)")
                let isUnderWay = try eventually { try links.counter(2, "in-flight") > 0 }
                #expect(isUnderWay)
                try links.set(2, "latency-us=0 fail-sync=EIO")
                try driver.expect("sync fdatasync \(file)", "-EIO")
                try driver.expect("join first", "-EIO")
            }
        }

        @Test("Writes that end after a sync has begun are the next sync's")
        func overtaken() throws {
            try with { links, driver, file in
                try driver.expect("sync fdatasync \(file)", "0")
                try links.setAll("latency-us=1000000")
                let start = "start libaio write \(file) 0 262144 16 3"
                try driver.expect(start, "started 16")
                let areUnderWay = try eventually {
                    try (1..<4).allSatisfy { try links.counter($0, "in-flight") > 0 }
                }
                #expect(areUnderWay)
                try links.setAll("latency-us=0")
                try driver.expect("sync fdatasync \(file)", "0")
                try driver.expect("reap", "ok")
                try driver.expect("sync fdatasync \(file)", "0")
                for link in 0..<4 { #expect(try links.unsynced(link) == 0, "link \(link)") }
                try links.expectBacking(sequence: 3)
            }
        }

        @Test("aio_fsync covers the writes that were queued before it")
        func queued() throws {
            try with { links, driver, file in
                // What two servers hold of one block comes in any order.
                try driver.expect("sync fdatasync \(file)", "0")
                try links.setAll("latency-us=50000")
                try driver.expect("start posix write \(file) 0 65536 64 3", "started 64")
                try driver.expect("sync aio_fdsync \(file)", "0")
                for link in 0..<4 { #expect(try links.unsynced(link) == 0, "link \(link)") }
                try links.expectBacking(sequence: 3)
                try driver.expect("reap", "ok")
            }
        }
    }
}
