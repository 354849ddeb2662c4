import { HeaderMap } from './header-map.ts';

/** `100 Continue`. */
export class Headers100Continue extends HeaderMap {
  override status = 100;
}
