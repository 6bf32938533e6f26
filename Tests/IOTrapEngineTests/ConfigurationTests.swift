import CIOTrap
import Testing

@testable import IOTrapEngine

private func settings(_ text: String) throws(ConfigurationError) -> Configuration {
    var configuration = Configuration()
    let bytes = Array(text.utf8)
    var failure: ConfigurationError?
    bytes.withUnsafeBufferPointer { buffer in
        do throws(ConfigurationError) {
            try ConfigurationParser(buffer).parseSettings(into: &configuration)
        } catch {
            failure = error
        }
    }
    if let failure { throw failure }
    return configuration
}

@Suite struct ConfigurationTests {
    @Test func readsEverySetting() throws {
        let read = try settings(
            "ring=on,split=off,group-sync=auto,libaio=on,posix-aio=off,offload=on,"
                + "split-chunk=64K,split-depth=7,sync-scope=file,aio-context=own,"
                + "backend=plain,io-uring=on,ring-descriptor=visible,follow=off,fault=errno:5@9")
        #expect(read.ring == UInt8(IOTRAP_SETTING_ON.rawValue))
        #expect(read.split == UInt8(IOTRAP_SETTING_OFF.rawValue))
        #expect(read.groupSync == UInt8(IOTRAP_SETTING_AUTO.rawValue))
        #expect(read.libaio == UInt8(IOTRAP_SETTING_ON.rawValue))
        #expect(read.posixAIO == UInt8(IOTRAP_SETTING_OFF.rawValue))
        #expect(read.offload == UInt8(IOTRAP_SETTING_ON.rawValue))
        #expect(read.emulatesContexts)
        #expect(try !settings("aio-context=own,aio-context=auto").emulatesContexts)
        #expect(read.splitChunkBytes == 65_536)
        #expect(read.splitDepth == 7)
        #expect(read.syncScope == .file)
        #expect(!read.usesRing)
        #expect(read.insistsOnRing)
        #expect(!read.hidesRingDescriptor)
        #expect(!read.followsExec)
        #expect(read.fault.period == 9 && read.fault.error == -5)
    }

    @Test func emptyItemsAreNothing() throws {
        #expect(try settings("") == Configuration())
        #expect(try settings(",,") == Configuration())
        #expect(try settings(",ring=on,").ring == UInt8(IOTRAP_SETTING_ON.rawValue))
    }

    @Test(arguments: [
        ("rnig=on", ConfigurationFault.unknownKey, "rnig"),
        ("ring", .missingValue, "ring"),
        ("ring=", .missingValue, "ring="),
        ("split=on,ring=yes", .badSwitch, "ring=yes"),
        ("libaio=yes", .badSwitch, "libaio=yes"),
        ("posix-aio=1", .badSwitch, "posix-aio=1"),
        ("posixaio=on", .unknownKey, "posixaio"),
        ("offload=", .missingValue, "offload="),
        ("aio-context=kernel", .badChoice, "aio-context=kernel"),
        ("split-chunk=1000", .badSize, "split-chunk=1000"),
        ("split-chunk=0", .badSize, "split-chunk=0"),
        ("split-chunk=65M", .badSize, "split-chunk=65M"),
        ("split-chunk=99999999999999999999", .badSize, "split-chunk=99999999999999999999"),
        ("split-depth=0", .badNumber, "split-depth=0"),
        ("split-depth=65", .badNumber, "split-depth=65"),
        ("backend=libaio", .badChoice, "backend=libaio"),
        ("sync-scope=all", .badChoice, "sync-scope=all"),
        ("fault=errno:5", .badFault, "fault=errno:5"),
        ("fault=@:", .badFault, "fault=@:"),
        ("fault=boom:1@1", .badFault, "fault=boom:1@1"),
    ])
    func refuses(_ text: String, _ fault: ConfigurationFault, _ item: String) {
        do throws(ConfigurationError) {
            _ = try settings(text)
            Issue.record("\(text) was accepted")
        } catch {
            #expect(error.fault == fault)
            let bytes = Array(text.utf8)[error.start..<(error.start + error.count)]
            #expect(String(decoding: bytes, as: UTF8.self) == item)
        }
    }

    @Test func randomTextNeverTraps() {
        var generator = SplitMix(seed: 11)
        let alphabet = Array("ring=on,split-chunk=512KM@:0123456789 \u{0}\u{ff}fault".utf8)
        for _ in 0..<20_000 {
            let text = (0..<Int.random(in: 0...40, using: &generator)).map { _ in
                alphabet.randomElement(using: &generator)!
            }
            var configuration = Configuration()
            text.withUnsafeBufferPointer { buffer in
                try? ConfigurationParser(buffer).parseSettings(into: &configuration)
                try? ConfigurationParser(buffer).parseMode(into: &configuration)
            }
            #expect(configuration.splitChunkBytes % 4096 == 0)
            #expect((1...64).contains(configuration.splitDepth))
        }
    }

    /// What one technique is set to, in a mode, after settings.
    private func setting(
        _ technique: iotrap_technique, _ mode: iotrap_mode, _ text: String = ""
    ) throws -> UInt32 {
        var configuration = try settings(text)
        configuration.mode = mode.rawValue
        return configuration.setting(technique.rawValue)
    }

    @Test(arguments: [
        (IOTRAP_TECHNIQUE_RING, "ring"), (IOTRAP_TECHNIQUE_SPLIT, "split"),
        (IOTRAP_TECHNIQUE_GROUP_SYNC, "group-sync"), (IOTRAP_TECHNIQUE_LIBAIO, "libaio"),
        (IOTRAP_TECHNIQUE_POSIX_AIO, "posix-aio"), (IOTRAP_TECHNIQUE_OFFLOAD, "offload"),
    ])
    func modesDecideWhatAutoMeans(_ technique: iotrap_technique, _ key: String) throws {
        let off = IOTRAP_SETTING_OFF.rawValue
        let on = IOTRAP_SETTING_ON.rawValue
        let auto = IOTRAP_SETTING_AUTO.rawValue
        let forced = technique == IOTRAP_TECHNIQUE_OFFLOAD ? auto : on
        #expect(try setting(technique, IOTRAP_MODE_AUTO) == auto)
        #expect(try setting(technique, IOTRAP_MODE_FORCE) == forced)
        for mode in [IOTRAP_MODE_AUTO, IOTRAP_MODE_FORCE] {
            #expect(try setting(technique, mode, key + "=on") == on)
            #expect(try setting(technique, mode, key + "=off") == off)
        }
        for mode in [IOTRAP_MODE_OFF, IOTRAP_MODE_OBSERVE] {
            #expect(try setting(technique, mode, key + "=on") == off)
        }
    }

    @Test func settingsAreIndependent() throws {
        let read = try settings("libaio=off,offload=off")
        let auto = IOTRAP_SETTING_AUTO.rawValue
        #expect(read.setting(IOTRAP_TECHNIQUE_POSIX_AIO.rawValue) == auto)
        #expect(read.setting(IOTRAP_TECHNIQUE_GROUP_SYNC.rawValue) == auto)
        #expect(read.setting(IOTRAP_TECHNIQUE_RING.rawValue) == auto)
    }
}
