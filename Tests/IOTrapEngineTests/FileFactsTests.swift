import CIOTrapEngine
import Glibc
import Testing

@testable import IOTrapEngine

/// Both ways of asking what a descriptor is must agree where nobody else changes the file.
@Suite("Facts of files")
struct FileFactsTests {
    private func expectFacts(_ fd: Int32, at location: SourceLocation = #_sourceLocation) {
        var status = stat()
        #expect(fstat(fd, &status) == 0, sourceLocation: location)
        for ask in [iotrap_file_facts, iotrap_file_facts_now] {
            var facts = iotrap_file_facts()
            #expect(ask(fd, &facts) == 0, sourceLocation: location)
            #expect(facts.device == UInt64(status.st_dev), sourceLocation: location)
            #expect(facts.inode == UInt64(status.st_ino), sourceLocation: location)
            #expect(facts.size == Int64(status.st_size), sourceLocation: location)
            #expect(facts.mode == status.st_mode, sourceLocation: location)
            #expect(
                facts.status_flags == UInt32(bitPattern: fcntl(fd, F_GETFL)),
                sourceLocation: location)
        }
    }

    @Test("They are those of fstat")
    func sameAsFstat() throws {
        var template = Array("/tmp/iotrap-facts-XXXXXX".utf8CString)
        let fd = mkstemp(&template)
        try #require(fd >= 0)
        defer { close(fd) }
        unlink(template)
        expectFacts(fd)
        try #require(ftruncate(fd, 123_457) == 0)
        expectFacts(fd)
        try #require(pwrite(fd, "x", 1, 1 << 33) == 1)
        expectFacts(fd)
    }

    @Test("Of every kind of descriptor", arguments: ["/", "/dev/null", "/proc/self/status"])
    func kinds(_ path: String) throws {
        for flags in [O_RDONLY, Int32(OpenFlags.path)] {
            let fd = open(path, flags)
            try #require(fd >= 0)
            expectFacts(fd)
            close(fd)
        }
        var both: [Int32] = [-1, -1]
        try #require(pipe(&both) == 0)
        expectFacts(both[0])
        close(both[0])
        close(both[1])
    }

    @Test("What is not open has none")
    func notOpen() {
        var facts = iotrap_file_facts()
        #expect(iotrap_file_facts(-1, &facts) == -EBADF)
        #expect(iotrap_file_facts_now(-1, &facts) == -EBADF)
    }
}
