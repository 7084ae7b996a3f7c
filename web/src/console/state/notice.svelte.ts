/** One sentence about what was just done. It stays until the next page or the next act. */

class Notice {
  text = $state("");

  tell(text: string): void {
    this.text = text;
  }
}

export const notice = new Notice();
