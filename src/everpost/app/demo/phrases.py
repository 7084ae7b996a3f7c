"""What people in the generated mail say, in seven languages, with the character sets such mail really uses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """`{n}` in a subject or sentence stands for a number. `wrote` introduces a quotation: `{date}`, `{name}`."""

    code: str
    charsets: tuple[str, ...]
    greeting: str
    closing: str
    wrote: str
    subjects: tuple[str, ...]
    sentences: tuple[str, ...]


ENGLISH = Language(
    "en",
    ("utf-8", "us-ascii", "iso-8859-1"),
    "Hello {name},",
    "Kind regards,",
    "On {date}, {name} wrote:",
    (
        "Delivery {n} for the second warehouse",
        "Minutes of the planning meeting, week {n}",
        "Question about order {n}",
        "Contract {n}: changes to clause four and the appendix on maintenance, and what our colleagues in the branch "
        "offices should know about it before the end of the month",
        "Invoice {n}",
    ),
    (
        "The parts for order {n} left our warehouse this morning and should reach you on Thursday.",
        "Could you please look at the figures in the attached table before we meet?",
        "We measured it again with the new sensor, and the difference is {n} millimetres.",
        "The room on the second floor is booked for us from nine to eleven.",
        "I have moved the appointment by a day because two of us are travelling.",
        "If nobody objects by Friday, we shall go ahead as described in section {n}.",
        "The old pump still works, but the seal has to be replaced before the winter.",
        "Please find the revised offer below; the price per unit has gone down to {n}.",
        "Thank you for the quick answer, that was exactly what we needed.",
        "The report has {n} pages, but the summary at the beginning is enough for a decision.",
    ),
)

GERMAN = Language(
    "de",
    ("utf-8", "iso-8859-1"),
    "Guten Tag {name},",
    "Mit freundlichen Grüßen",
    "Am {date} schrieb {name}:",
    ("Rückfrage zur Lieferung {n}", "Prüfbericht für die größere Anlage, Stück {n}", "Angebot {n}: geänderte Preise"),
    (
        "Die Lieferung {n} ist gestern vollständig bei uns eingetroffen.",
        "Könnten Sie bitte die Maße auf Seite {n} noch einmal überprüfen?",
        "Für die Abnahme schlagen wir den nächsten Dienstag um zehn Uhr vor.",
        "Die Änderungen an der Zeichnung sind rot hervorgehoben.",
        "Über den Preis müssten wir noch sprechen, er liegt um {n} Euro höher als im Vorjahr.",
        "Schöne Grüße auch von den Kollegen aus der Fertigung.",
        "Der Prüfer war mit dem Ergebnis sehr zufrieden, nur das Gehäuse muß außen nachgearbeitet werden.",
        "Wir melden uns, sobald die fehlenden Stücke verfügbar sind.",
    ),
)

FRENCH = Language(
    "fr",
    ("utf-8", "iso-8859-1"),
    "Bonjour {name},",
    "Bien cordialement,",
    "Le {date}, {name} a écrit :",
    ("Réunion de préparation n° {n}", "Devis {n} modifié", "Congés d'été : répartition des équipes"),
    (
        "Le devis {n} a été corrigé selon vos remarques.",
        "Pourriez-vous confirmer votre présence à la réunion de jeudi ?",
        "Les pièces manquantes seront expédiées dès demain matin.",
        "Nous avons reçu {n} réponses à l'enquête, et la plupart sont très positives.",
        "L'équipe a déjà commencé les essais sur le nouveau modèle.",
        "Veuillez trouver ci-joint le procès-verbal de la dernière séance.",
        "Le délai prévu à l'origine ne pourra pas être tenu, hélas.",
        "Merci d'avance pour votre réponse.",
    ),
)

GREEK = Language(
    "el",
    ("utf-8", "windows-1253"),
    "Καλημέρα {name},",
    "Με εκτίμηση,",
    "Στις {date}, {name} έγραψε:",
    ("Παραγγελία {n}", "Πρόσκληση σε συνάντηση για το έργο {n}"),
    (
        "Η παραγγελία {n} είναι έτοιμη για αποστολή.",
        "Θα μπορούσατε να ελέγξετε τον πίνακα πριν από τη συνάντηση;",
        "Το νέο πρόγραμμα ισχύει από την επόμενη εβδομάδα.",
        "Σας ευχαριστούμε για την άμεση απάντηση.",
        "Οι μετρήσεις έδειξαν διαφορά {n} χιλιοστών.",
        "Η αίθουσα στον δεύτερο όροφο είναι κλεισμένη μέχρι το μεσημέρι.",
    ),
)

JAPANESE = Language(
    "ja",
    ("utf-8", "iso-2022-jp"),
    "{name} 様",
    "よろしくお願いいたします。",
    "{date} {name} さんは書きました:",
    (
        "会議の議事録 {n}",
        "お見積り {n} の件",
        "来週の打ち合わせの日程と会場の変更について、および資料の事前配布のお願い {n}",
    ),
    (
        "いつもお世話になっております。",
        "ご注文 {n} の商品は本日発送いたしました。",
        "添付の表をご確認いただけますでしょうか。",
        "会議は木曜日の午前十時から始まります。",
        "新しい価格表は来月から有効です。",
        "ご不明な点がございましたら、お知らせください。",
        "測定結果の差は {n} ミリでした。",
    ),
)

ARABIC = Language(
    "ar",
    ("utf-8",),
    "مرحبا {name}،",
    "مع أطيب التحيات",
    "في {date} كتب {name}:",
    ("محضر الاجتماع رقم {n}", "استفسار عن الطلب {n}"),
    (
        "تم شحن الطلب رقم {n} صباح اليوم.",
        "هل يمكنكم مراجعة الجدول المرفق قبل الاجتماع؟",
        "تم تغيير الموعد إلى يوم الخميس القادم.",
        "نشكركم على الرد السريع.",
        "السعر الجديد هو {n} للوحدة.",
        "سنرسل التقرير الكامل في نهاية الأسبوع.",
    ),
)

RUSSIAN = Language(
    "ru",
    ("koi8-r", "utf-8"),
    "Здравствуйте, {name}!",
    "С уважением,",
    "{date} {name} пишет:",
    ("Заказ {n}", "Протокол совещания N {n}"),
    (
        "Заказ {n} отправлен сегодня утром.",
        "Пожалуйста, проверьте таблицу до начала совещания.",
        "Встреча перенесена на четверг.",
        "Спасибо за быстрый ответ.",
        "Новая цена составляет {n} за единицу.",
        "Полный отчет будет готов к концу недели.",
    ),
)

LANGUAGES = (ENGLISH, GERMAN, FRENCH, GREEK, JAPANESE, ARABIC, RUSSIAN)
WEIGHTS = (10, 4, 3, 2, 2, 1, 1)

OUTSIDERS = (
    ("Sales", "sales@example.com"),
    ("Alice", "alice@example.com"),
    ("Support desk", "support@example.net"),
    ("Jürgen", "juergen@example.net"),
    ("Zoé", "zoe@example.com"),
    ("Νίκος", "nikos@example.net"),
    ("花子", "hanako@example.com"),
    ("سارة", "sara@example.net"),
    ("Ольга", "olga@example.com"),
    ("Billing", "billing@example.net"),
    ("Tom", "tom@example.com"),
    ("Front office", "office@example.net"),
)
