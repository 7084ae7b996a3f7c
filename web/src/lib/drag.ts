/** What marks a drag of conversations of ours. */
export const DRAGGED = "application/x-everpost-conversations";
