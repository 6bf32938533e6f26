import Foundation
import IOTrapStats
import Testing

extension Pools {
    /// Errors of one path are not the program's, as long as another works.
    @Suite("Failure", .serialized)
    struct FailureTests {
        static let apis = ["libaio", "posix"]

        private func with(
            pool: String = "", _ body: (Links, Driver, Int) throws -> Void
        ) throws {
            try Links.with { links in
                let driver = try links.driver(pool: pool)
                let file = try driver.open(links.path(0))
                try driver.spread("write", file, sequence: 1, over: [0, 1, 2, 3])
                try driver.spread("read", file, sequence: 1, over: [0, 1, 2, 3])
                try body(links, driver, file)
            }
        }

        private func path(_ link: Int, _ driver: Driver, _ links: Links) throws -> PathTotals {
            try links.statistics(of: driver.conversation)[link]
        }

        @Test("Errors of one path are answered by another, and it comes back", arguments: apis)
        func other(_ api: String) throws {
            try with { links, driver, file in
                for (link, operation) in [(1, "read"), (2, "write"), (0, "write"), (0, "read")] {
                    let before = try path(link, driver, links)
                    try links.set(link, "fail-\(operation)=EIO")
                    let isOut = try eventually {
                        try driver.transfer(operation, file, sequence: 1, api: api)
                        return try path(link, driver, links).ejections > before.ejections
                    }
                    #expect(isOut, "path \(link) is not taken out")
                    #expect(try path(link, driver, links).reissued > before.reissued)
                    try links.set(link, "fail-\(operation)=off")
                    try driver.spread(operation, file, sequence: 1, over: [link])
                    #expect(try path(link, driver, links).returns > before.returns)
                }
                try links.expectBacking(sequence: 1)
            }
        }

        @Test("So are those of synchronous calls, small and large", arguments: ["EIO", "ENOTCONN"])
        func synchronous(_ error: String) throws {
            try with { links, driver, file in
                try links.set(0, "fail-read=\(error) fail-write=\(error)")
                for bytes in [4096, 65_536, 1 << 20, 4 << 20] {
                    try driver.expect("write \(file) 0 \(bytes) 2", "\(bytes)")
                    try driver.expect("read \(file) 0 \(bytes) 2", "ok")
                    try driver.expect("writev \(file) 0 \(bytes) 3", "\(bytes)")
                    try driver.expect("readv \(file) 0 \(bytes) 3", "ok")
                    try driver.expect("write \(file) 0 \(bytes) 4 dsync", "\(bytes)")
                }
                try links.expectBacking(sequence: 4)
            }
        }

        @Test("The program sees an error when every path has failed", arguments: apis)
        func allFail(_ api: String) throws {
            try with { links, driver, file in
                try links.setAll("fail-read=EIO")
                try driver.expect("read \(file) 0 4096 1", "-EIO")
                try driver.expect("read \(file) 0 4194304 1", "-EIO")
                try driver.expect("readv \(file) 0 65536 1", "-EIO")
                try driver.expect("start \(api) read \(file) 0 65536 1 1", "started 1")
                try driver.expect("reap", "request 0 gave -5")
                try links.setAll("fail-read=off")
                try driver.expect("read \(file) 0 4194304 1", "ok")
                try driver.spread("read", file, sequence: 1, over: [0, 1, 2, 3])
                try links.setAll("fail-write=EIO")
                try driver.expect("write \(file) 0 4194304 2", "-EIO")
                try driver.expect("write \(file) 0 4096 2", "-EIO")
            }
        }

        @Test("Paths that were taken out are tried before the program sees an error")
        func takenOut() throws {
            try with { links, driver, file in
                for _ in 0..<2 {
                    let start = try links.statistics(of: driver.conversation)
                    // A link also counts the samples that are read before a file is used there; one
                    // that fails then keeps the file off the path, which is never taken out.
                    let areUsed = try eventually {
                        try driver.transfer("read", file, sequence: 1)
                        let paths = try links.statistics(of: driver.conversation)
                        return (1..<4).allSatisfy { paths[$0].readBytes > start[$0].readBytes }
                    }
                    #expect(areUsed)
                    let before = try links.statistics(of: driver.conversation)
                    for link in 1..<4 { try links.set(link, "fail-read=EIO") }
                    let areOut = try eventually {
                        try driver.transfer("read", file, sequence: 1)
                        let paths = try links.statistics(of: driver.conversation)
                        return (1..<4).allSatisfy { paths[$0].ejections > before[$0].ejections }
                    }
                    #expect(areOut)
                    try links.set(0, "fail-read=EIO")
                    for link in 1..<4 { try links.set(link, "fail-read=off") }
                    try driver.expect("read \(file) 0 65536 1", "ok")
                    // Of many at once, some may come while a path that is back opens the file.
                    let areServed = try eventually {
                        let start = "start libaio read \(file) 0 65536 64 1"
                        try driver.expect(start, "started 64")
                        return try driver("reap") == "ok"
                    }
                    #expect(areServed)
                    try links.set(0, "fail-read=off")
                    try driver.spread("read", file, sequence: 1, over: [1, 2, 3])
                }
            }
        }

        @Test("On a full volume writes fail, those that are told of are there, and room helps")
        func fullVolume() throws {
            var template = Array("/tmp/iotrap-full-XXXXXX".utf8CString)
            try #require(mkdtemp(&template) != nil)
            let folder = String(
                decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
            let isMounted = mount("none", folder, "tmpfs", 0, "size=6m") == 0
            try #require(isMounted || Places.obstacle != nil)
            defer {
                if isMounted { umount2(folder, Int32(MNT_DETACH)) }
                rmdir(folder)
            }
            try Links.with("--backing \(folder)") { links in
                let driver = try links.driver()
                let file = try driver.open(links.path(0))
                try driver.spread("write", file, sequence: 1, over: [0, 1, 2, 3])
                // A hole, which more is written into than there is room for.
                try driver.expect("truncate \(file) 8388608", "0")
                var refused = 0
                for offset in stride(from: 4 << 20, to: 8 << 20, by: 1 << 20) {
                    let answer = try driver("write \(file) \(offset) 1048576 2")
                    let written = Int(answer) ?? 0
                    if written < 1 << 20 { refused += 1 }
                    #expect(written > 0 || answer == "-ENOSPC")
                    // In whole blocks, as the driver marks them.
                    let blocks = written / 65_536
                    for block in 0..<blocks {
                        try driver.expect("read \(file) \(offset + block * 65_536) 65536 2", "ok")
                    }
                }
                #expect(refused >= 2)
                try driver.expect("start libaio write \(file) 4194304 65536 64 2", "started 64")
                #expect(try driver("reap").hasSuffix("gave -28"))
                try driver.expect("read \(file) 0 4194304 1", "ok")
                try driver.expect("sync fsync \(file)", "0")
                try #require(mount("none", folder, "", UInt(MS_REMOUNT), "size=64m") == 0)
                try driver.expect("write \(file) 0 8388608 3", "8388608")
                try driver.expect("sync fsync \(file)", "0")
                try links.expectBacking(sequence: 3, bytes: 8 << 20)
            }
        }

        @Test("A write that timed out fails, and is not sent again")
        func timedOutWrite() throws {
            try with { links, driver, file in
                let before = try path(2, driver, links)
                try links.setAll("fail-write=ETIMEDOUT")
                try driver.expect("write \(file) 0 4096 2", "-ETIMEDOUT")
                try driver.expect("write \(file) 0 4194304 2", "-ETIMEDOUT")
                try links.setAll("fail-write=off")
                try links.set(2, "fail-write=ETIMEDOUT")
                var result = "ok"
                let isSeen = try eventually {
                    try driver.expect("start libaio write \(file) 0 65536 64 1", "started 64")
                    result = try driver("reap")
                    return result != "ok"
                }
                #expect(isSeen, "no write went to path 2")
                #expect(result.hasSuffix("gave -110"))
                #expect(try path(2, driver, links).reissued == before.reissued)
            }
        }

        @Test("A read that timed out is read elsewhere")
        func timedOutRead() throws {
            try with { links, driver, file in
                let before = try path(2, driver, links)
                try links.set(2, "fail-read=ETIMEDOUT")
                let isOut = try eventually {
                    try driver.transfer("read", file, sequence: 1)
                    return try path(2, driver, links).reissued > before.reissued
                }
                #expect(isOut)
            }
        }
    }
}
