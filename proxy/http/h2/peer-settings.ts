/** The peer's SETTINGS (RFC 9113, section 6.5). */
import { defaultMaxFrameBytes, defaultWindowBytes, maxWindowBytes, readUint32, SettingId } from './frame.ts';

export class PeerSettings {
  headerTableBytes = 4096;
  /** The smallest value of the last SETTINGS frame, Infinity if it named none. */
  smallestTableBytes = 4096;
  /** Streams that it lets us open. */
  maxConcurrentStreams = 2 ** 32 - 1;
  initialWindowBytes = defaultWindowBytes;
  enableConnectProtocol = false;

  /** Takes over `data[from, end)`, whole settings of six bytes; false if a value is not allowed. Unknown ones are ignored. */
  apply(data: Buffer, from: number, end: number): boolean {
    this.smallestTableBytes = Number.POSITIVE_INFINITY;
    for (let at = from; at < end; at += 6) {
      if (!this.#applyOne((data[at] << 8) | data[at + 1], readUint32(data, at + 2))) return false;
    }
    return true;
  }

  #applyOne(id: number, value: number): boolean {
    switch (id) {
      case SettingId.headerTableSize:
        this.headerTableBytes = value;
        this.smallestTableBytes = Math.min(value, this.smallestTableBytes);
        return true;
      case SettingId.enablePush:
        return value <= 1;
      case SettingId.maxConcurrentStreams:
        this.maxConcurrentStreams = value;
        return true;
      case SettingId.initialWindowSize:
        this.initialWindowBytes = value;
        return value <= maxWindowBytes;
      case SettingId.maxFrameSize:
        // Frames of ours are never larger than what every peer takes.
        return value >= defaultMaxFrameBytes && value < 2 ** 24;
      case SettingId.enableConnectProtocol:
        this.enableConnectProtocol = value === 1;
        return value <= 1;
      default:
        return true;
    }
  }
}
