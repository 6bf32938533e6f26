import Glibc
import IOTrap
import Testing

@Suite struct StreamTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private func check(_ file: borrowing IOFile, bytes: Int, blockBytes: Int) async throws {
        var offset = 0
        var wrong = 0
        for try await block in try file.blocks(of: blockBytes, readAhead: 3) {
            #expect(block.offset == Int64(offset))
            wrong += wrongBytes(block.bytes, at: offset)
            offset += block.count
        }
        #expect(offset == bytes && wrong == 0)
    }

    @Test(arguments: [0, 1, 4096, 100_000, 65_536]) func wholeFiles(bytes: Int) async throws {
        let path = try scratch.file("a", bytes: bytes)
        try await check(await IOFile.open(path), bytes: bytes, blockBytes: 10_000)
        try await check(
            await IOFile.open(path, options: [.direct]), bytes: bytes, blockBytes: 10_000)
        let executor = try IOExecutor()
        try await withTaskExecutorPreference(executor) {
            let file = try await IOFile.open(path)
            try await check(file, bytes: bytes, blockBytes: 4096)
        }
    }

    @Test func parts() async throws {
        let file = try await IOFile.open(try scratch.file("b", bytes: 100_000))
        var total = 0
        for try await block in try file.blocks(of: 1000, in: 5000..<7500) {
            #expect(wrongBytes(block.bytes, at: Int(block.offset)) == 0)
            total += block.count
        }
        #expect(total == 2500)
    }

    @Test func keptBlocksHoldTheStreamUp() async throws {
        let file = try await IOFile.open(try scratch.file("c", bytes: 100_000))
        var kept: [IOBlock] = []
        var iterator = try file.blocks(of: 1000, readAhead: 2).makeAsyncIterator()
        for _ in 0..<4 { kept.append(try #require(try await iterator.next())) }
        // All four buffers are in use: the next block needs one back.
        let waiting = kept.removeFirst()
        let release = Task {
            try await Task.sleep(for: .milliseconds(5))
            return waiting.offset
        }
        kept.removeAll()
        #expect(try await iterator.next()?.offset == 4000)
        #expect(try await release.value == 0)
    }

    @Test func aFileThatIsCut() async throws {
        let path = try scratch.file("d", bytes: 100_000)
        let file = try await IOFile.open(path, .readWrite)
        let blocks = try file.blocks(of: 1000, readAhead: 1)
        var total = 0
        do {
            for try await block in blocks {
                total += block.count
                if total == 50_000 { try file.resize(to: 60_500) }
            }
            Issue.record("read what was cut")
        } catch {
            #expect(error.path == path && error.operation == .read)
            guard case .endOfFile = error.reason else {
                Issue.record("\(error)")
                return
            }
        }
        #expect(total == 60_000)
    }

    @Test func streamsThatAreLeft() async throws {
        let file = try await IOFile.open(try scratch.file("e", bytes: 1 << 20))
        for stop in 1..<50 {
            var count = 0
            for try await block in try file.blocks(of: 4096, readAhead: 8) {
                count += block.count / 4096
                if count == stop { break }
            }
            #expect(count == stop)
        }
    }

    @Test func cancelledStreams() async throws {
        let shared = IOSharedFile(try await IOFile.open(try scratch.file("f", bytes: 1 << 20)))
        let task = Task { () -> IOError.Reason? in
            do throws(IOError) {
                while true { try await readOnce(shared) }
            } catch {
                return error.reason
            }
        }
        try await Task.sleep(for: .milliseconds(2))
        task.cancel()
        #expect(await task.value == .cancelled)
    }
}

private func readOnce(_ shared: IOSharedFile) async throws(IOError) {
    for try await block in try shared.file.blocks(of: 4096) where block.count == 0 {
        Issue.record("an empty block")
    }
}
