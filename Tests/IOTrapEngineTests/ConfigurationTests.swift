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
            "ring=on,split=off,group-sync=auto,split-chunk=64K,split-depth=7,sync-scope=file,"
                + "backend=plain,io-uring=on,ring-descriptor=visible,follow=off,fault=errno:5@9")
        #expect(read.ring == UInt8(IOTRAP_SETTING_ON.rawValue))
        #expect(read.split == UInt8(IOTRAP_SETTING_OFF.rawValue))
        #expect(read.groupSync == UInt8(IOTRAP_SETTING_AUTO.rawValue))
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

    @Test func modesDecideWhatAutoMeans() {
        var configuration = Configuration()
        configuration.mode = IOTRAP_MODE_FORCE.rawValue
        #expect(
            configuration.setting(IOTRAP_TECHNIQUE_RING.rawValue) == IOTRAP_SETTING_ON.rawValue)
        configuration.ring = UInt8(IOTRAP_SETTING_OFF.rawValue)
        #expect(
            configuration.setting(IOTRAP_TECHNIQUE_RING.rawValue) == IOTRAP_SETTING_OFF.rawValue)
        configuration.ring = UInt8(IOTRAP_SETTING_ON.rawValue)
        configuration.mode = IOTRAP_MODE_OBSERVE.rawValue
        #expect(
            configuration.setting(IOTRAP_TECHNIQUE_RING.rawValue) == IOTRAP_SETTING_OFF.rawValue)
    }
}
