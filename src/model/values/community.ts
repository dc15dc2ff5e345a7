// BGP communities as text: `aa:nn` (RFC 1997, 16 bits each) or `aa:nn:mm` (RFC 8092, 32 bits each).

export function isCommunity(text: string): boolean {
  const parts = text.split(':');
  const most = parts.length === 2 ? 0xffff : parts.length === 3 ? 0xffffffff : -1;
  return parts.every((part) => /^\d{1,10}$/.test(part) && Number(part) <= most);
}
